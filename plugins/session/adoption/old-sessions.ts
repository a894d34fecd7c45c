import type { FastifyRequest } from 'fastify'
import { createHmac } from 'node:crypto'
import type { OldSessionKind, OldValues } from '../../config/adopt.js'
import { cookieValues } from '../../cookies/header.js'
import { boundedCalls } from '../../storage/common/bounded-calls.js'
import { answerUnlessMissing, sessionUnlessMissing } from '../../storage/express/callbacks.js'
import { deriveKey, type Ticket } from '../../tickets/ticket.js'
import { startRetrying } from '../backend/retries.js'
import { MAX_TICKETS } from '../cookie/ticket-reader.js'
import { idInOldCookie } from './old-cookie.js'

/** How long the old store may take to answer. */
const DEADLINE_MS = 2_000

/** Members of an old session that are not values. */
const NO_VALUES: ReadonlySet<string> = new Set(['cookie', 'sessionId', 'encryptedSessionId'])

/** The content of an old session. */
interface OldContent {
  readonly values: OldValues
  /** How long the browser was to keep the cookie, in ms; null: until it ends. */
  readonly maxAge: number | null
}

/** A session of express-session or @fastify/session whose signed cookie a request presents. */
export interface OldSession extends Pick<OldSessionKind, 'user' | 'data'> {
  /**
   * The ticket under which hatcheck continues the session. It is stale, so that the cookie is sent.
   *
   * Its ID comes from the old one: parallel requests, in any process, get the same, and of their insertions one succeeds.
   */
  readonly ticket: Ticket
  /** Returns null if the session is missing or has expired. @throws StoreUnavailableError */
  read (): Promise<OldContent | null>
  /** Ends it in its store. Idempotent. @throws StoreUnavailableError */
  end (): Promise<void>
}

interface Kind extends OldSessionKind {
  /** Derives the new IDs from the old ones. */
  readonly key: Buffer
}

/** Finds, reads and ends the old sessions of requests. */
export class OldSessions {
  readonly #kinds: readonly Kind[]
  readonly #ticketOf: (id: string) => Ticket
  readonly #now: () => number
  readonly #bounded = boundedCalls({ deadlineMs: DEADLINE_MS })
  /** The sessions whose end the old store could not take, by the key of their ticket. */
  readonly #unended = new Map<string, OldSession>()
  /** Stops trying the ends again. */
  readonly stop = startRetrying(() => this.#unended.values(), (session) => this.#end(session))

  constructor (kinds: readonly OldSessionKind[], { realm, now }: { realm: string, now: () => number }, ticketOf: (id: string) => Ticket) {
    // Not a key of hatcheck's own: with it, two processes would derive two IDs while it is being rotated. Nobody can use such
    // an ID without a ticket, which takes a key of hatcheck's own.
    this.#kinds = kinds.map((kind) => ({ ...kind, key: deriveKey(kind.secrets[0] as Buffer, 'adopted session', realm) }))
    this.#now = now
    this.#ticketOf = ticketOf
  }

  /** Tells whether a request has a cookie with the name of an old one. */
  isPresentedBy ({ headers: { cookie: header } }: FastifyRequest): boolean {
    return header !== undefined && this.#kinds.some(({ cookie }) => cookieValues(header, cookie.name).length > 0)
  }

  /** Lists the old sessions whose signed cookies a request presents. */
  presentedBy ({ headers: { cookie: header = '' } }: FastifyRequest): OldSession[] {
    return this.#kinds.flatMap((kind) => {
      const ids = cookieValues(header, kind.cookie.name).slice(-MAX_TICKETS).map((value) => idInOldCookie(value, kind.secrets))
      return [...new Set(ids)].filter((id) => id !== null).map((id) => this.#session(kind, id))
    })
  }

  /**
   * Ends the old sessions of a request for a logout. An end that their store cannot take is tried again; meanwhile the session
   * is refused.
   *
   * @returns the tickets under which they continue, and whether every end is stored.
   */
  async endPresentedBy (request: FastifyRequest): Promise<{ tickets: Ticket[], isStored: boolean }> {
    const sessions = this.presentedBy(request)
    const stored = await Promise.all(sessions.map((session) => this.#end(session)))
    return { tickets: sessions.map(({ ticket }) => ticket), isStored: !stored.includes(false) }
  }

  /** Tells whether the session has ended although its store may still have it. */
  isRefused ({ ticket }: OldSession): boolean {
    return this.#unended.has(ticket.key)
  }

  #session ({ key, store, user, data }: Kind, id: string): OldSession {
    const ticket = this.#ticketOf(createHmac('sha256', key).update(id).digest('base64url'))
    return {
      user,
      data,
      ticket: { ...ticket, stale: true },
      read: async () => contentOf(await this.#bounded('read', () => sessionUnlessMissing((callback) => store.get(id, callback))), this.#now()),
      end: async () => { await this.#bounded('remove', () => answerUnlessMissing((callback) => store.destroy(id, callback))) }
    }
  }

  async #end (session: OldSession): Promise<boolean> {
    const { key } = session.ticket
    try {
      await session.end()
      this.#unended.delete(key)
      return true
    } catch {
      // Moves it behind the others.
      this.#unended.delete(key)
      this.#unended.set(key, session)
      return false
    }
  }
}

function contentOf (session: unknown, now: number): OldContent | null {
  if (typeof session !== 'object' || session === null) return null
  const { expires = null, originalMaxAge = null } = (session as { cookie?: { expires?: Date | string | null, originalMaxAge?: number | null } | null }).cookie ?? {}
  if (expires !== null && new Date(expires).getTime() <= now) return null
  return { values: Object.fromEntries(Object.entries(session).filter(([key]) => !NO_VALUES.has(key))), maxAge: originalMaxAge }
}
