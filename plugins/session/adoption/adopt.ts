import type { FastifyRequest } from 'fastify'
import { clientAddress } from '../../common/client-address.js'
import { after } from '../../common/maybe-promise.js'
import { isUserName } from '../../common/user-name.js'
import type { SessionRecord } from '../../store/sessions.js'
import type { Finder } from '../backend/find.js'
import type { Writer } from '../backend/write.js'
import { clientText } from '../model/client-text.js'
import { AdoptError } from '../model/errors.js'
import { assertValues } from '../model/fields.js'
import { kindOf } from '../model/json.js'
import type { Rules } from '../model/plan.js'
import type { Stored } from '../model/stored.js'
import { adoptedRecord } from './adopted-record.js'
import type { OldSession, OldSessions } from './old-sessions.js'

/** How long the old cookie leads to the new session, for a browser that did not get the response with the new cookie. */
const OLD_COOKIE_MS = 24 * 3_600_000

interface AdoptionParts {
  readonly oldSessions: OldSessions
  readonly finder: Pick<Finder, 'find' | 'read'>
  readonly writer: Pick<Writer, 'adopt'>
  readonly rules: Rules
  /** @throws InsecureTransportError, CookieDomainError if the connection cannot carry the session cookie. */
  assertDeliverable (request: FastifyRequest): void
  /** Tells whether this process refuses a session although the store has it. */
  isRefused (key: string): boolean
}

/**
 * Extends `find`: a request without a live session continues in the live session of an old cookie that it presents.
 *
 * A browser gets the new cookie only after the old session has ended, so that a later logout cannot be undone by the old
 * cookie. If a step fails, the next request with the old cookie takes up where this one stopped.
 *
 * @throws StoreUnavailableError if either store cannot answer.
 * @throws InsecureTransportError, CookieDomainError if the connection cannot carry the session cookie; then nothing has changed.
 * @throws AdoptError, or an error of the application's functions.
 */
export function createAdoption ({ oldSessions, finder: { find, read }, writer, rules, assertDeliverable, isRefused }: AdoptionParts): Finder['find'] {
  return (request) => {
    const found = find(request)
    if (!oldSessions.isPresentedBy(request)) return found
    return after(found, (stored) => stored ?? adopt(request))
  }

  async function adopt (request: FastifyRequest): Promise<Stored | null> {
    for (const old of oldSessions.presentedBy(request)) {
      const stored = await continued(old, request)
      if (stored !== null) return stored
    }
    return null
  }

  async function continued (old: OldSession, request: FastifyRequest): Promise<Stored | null> {
    const { ticket } = old
    if (oldSessions.isRefused(old) || isRefused(ticket.key)) return null
    const record = await recordOf(old, request)
    if (record !== null) assertDeliverable(request)
    const begun = record === null ? null : await writer.adopt({ ticket, record }, request)
    // Read after the old session: it ends only once this one has begun, so a request misses neither.
    const current = begun ?? await begunBefore(old)
    if (current !== null) assertDeliverable(request)
    // Even if a logout has ended the new session, and something has brought the old one back.
    if (current !== null || record !== null) await old.end()
    return current
  }

  /** Returns what another request has begun. */
  async function begunBefore ({ ticket }: OldSession): Promise<Stored | null> {
    const record = await read({ ticket })
    return record !== null && record.createdAt + OLD_COOKIE_MS > rules.now() ? { ticket, record } : null
  }

  async function recordOf (old: OldSession, request: FastifyRequest): Promise<SessionRecord | null> {
    const content = await old.read()
    if (content === null) return null
    const { values, maxAge } = content
    const user = await old.user(values) ?? null
    if (user !== null && !isUserName(user)) throw new AdoptError(kindOf(user))
    const kept: unknown = old.data === undefined ? values : await old.data(values)
    assertValues(kept)
    const client = clientText(request.headers['user-agent'], clientAddress(request))
    const { record, leftOut } = adoptedRecord({ user, client, values: kept, maxAge }, rules)
    if (leftOut.length > 0) request.log.warn({ keys: leftOut }, 'an old session continues without these values: hatcheck cannot hold them, or they are over sessionMaxBytes')
    return record
  }
}
