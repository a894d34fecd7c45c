import { LONGEST_LIFE_MS, longestLifeMs } from '../../common/lifetimes.js'
import { after, type MaybePromise } from '../../common/maybe-promise.js'
import { assertRule } from '../../common/rule.js'
import { UnsupportedError } from '../../common/unsupported.js'
import type { Carried, CarriedSessions } from '../../store/carried.js'
import { assertSize } from '../../store/errors.js'
import { CLOCK_SLACK_MS, LONGEST_MEMORY_MS, NO_REVOCATIONS, epochIn, isRevoked, type Revocation } from '../../store/revocations.js'
import {
  continuationOf, hasFields, isLogout, sizeOf, splitByPrefix, successorOf, touched, withChanges,
  type SessionRecord, type SessionReplacement, type StoredSession
} from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'
import { CookieTooLargeError } from '../model/errors.js'
import type { Rules } from '../model/plan.js'
import type { Stored } from '../model/stored.js'
import type { Renewed, SessionBackend, SessionRef } from './backend.js'
import { currentKeys } from './cookie-keys.js'

/** In characters. A cookie with less room would refuse nearly every session. */
const LEAST_ROOM = 1_024

/** An upper bound of the bytes that encryption and the times of a session add to its values. */
const MOST_ADDED = 1_024

interface CookieBackendParts extends Pick<Rules, 'maxBytes' | 'lifetimes' | 'now'> {
  readonly carried: CarriedSessions
  /** How many characters the value of a cookie may have. */
  readonly longestValue: number
  currentSecrets (): readonly Buffer[]
  ticketOf (id: string): Ticket
  newId (): string
}

/**
 * Keeps the sessions in the cookies of the browsers. Only their ends are stored, and asked for at each read. An ID begins once
 * and ends once, and what ends a session ends it by its ID: however many copies of its cookie there are, and whatever a slow
 * response still writes, no copy comes back.
 *
 * A response writes all values as its request knew them, so of two requests at once the last response wins.
 */
export function inCookie ({ carried: { revocations, codecOf }, longestValue, maxBytes, lifetimes, now, currentSecrets, ticketOf, newId }: CookieBackendParts): SessionBackend {
  assertRule(longestValue >= LEAST_ROOM, `The name, the domain and the path of the session cookie leave ${longestValue} of the 4,096 bytes of a cookie for the session, and it needs at least ${LEAST_ROOM}: make them shorter.`)
  const longestMs = longestLifeMs(lifetimes)
  const current = currentKeys(codecOf, currentSecrets, ticketOf)

  return {
    sync: revocations.sync,
    changesCookie: true,
    remembersEnds: revocations !== NO_REVOCATIONS,
    get verifier () { return current().verifier },
    read,
    async create (ticket, record) {
      const known = await revocations.lookUp(ticket.key, record.user)
      return known.hasEnded ? null : begun(ticket, record, known)
    },
    async patch (stored, changes) {
      const { ticket, record } = stored
      // A copy of the cookie still has the user in it, so the ID has to end with the login.
      if (record.user !== null && isLogout(changes)) {
        const renewed = await replace(stored, ticketOf(newId()), { ...changes, keep: 'all' })
        return renewed.outcome === 'replaced' ? renewed.next : null
      }
      return await continued(ticket, withChanges(record, changes))
    },
    touch: ({ ticket, record }, seenAt, expiresAt) => continued(ticket, touched(record, seenAt, expiresAt)),
    async take (stored, prefix) {
      const { ticket, record } = stored
      const { taken, rest: fields } = splitByPrefix(prefix, record.fields)
      const rest = await continued(ticket, { ...record, fields })
      return rest === null ? { taken: {}, rest: stored } : { taken, rest }
    },
    replace,
    async remove (ticket) {
      const isLive = await read(ticket) !== null
      return await revocations.end(ticket.key, endOf(ticket)) && isLive ? ticket.carried?.record ?? null : null
    },
    end,
    async canEnd ({ key, carried }) {
      // A newer copy may be live where this one has expired.
      if (carried !== null && carried.endsAt > now() && !(await revocations.lookUp(key, null)).hasEnded) return true
      return await revocations.successor(key) !== null
    },
    cookieValue (_id, stored, cookieName) {
      if (stored?.ticket.carried == null) throw new UnsupportedError('the value of the cookie before the session is stored', 'the cookie carries the values')
      return current().codec.seal(stored.ticket.carried, cookieName)
    }
  }

  function read ({ key, carried }: SessionRef): MaybePromise<SessionRecord | null> {
    if (carried === null || isOver(carried)) return null
    return after(revocations.lookUp(key, carried.record.user), (known) => liveIn(key, carried, known))
  }

  function isOver ({ record, endsAt }: Carried): boolean {
    return record.expiresAt <= now() || endsAt <= now()
  }

  async function replace ({ ticket: { key, carried }, record: last }: Stored, next: Ticket, change: SessionReplacement): Promise<Renewed> {
    if (carried === null || isOver(carried)) return { outcome: 'gone' }
    const knownBefore = await revocations.lookUp(key, carried.record.user)
    if (liveIn(key, carried, knownBefore) === null) return { outcome: 'gone' }
    const record = successorOf(last, change)
    const knownOfNext = await revocations.lookUp(next.key, record.user)
    if (knownOfNext.hasEnded) return { outcome: 'refused' }
    // The epoch from before: an end of all sessions of the user in the meantime ends the successor too.
    const known = record.user === carried.record.user ? knownBefore : knownOfNext
    // First, since it throws if the successor is too large.
    const successor = hasFields(record) ? begun(next, record, known, carried.origin) : null
    if (!await revocations.end(key, endOf({ key, carried }), continuationOf(next.key, record, change))) return { outcome: 'gone' }
    return { outcome: 'replaced', last, next: successor }
  }

  async function end (ticket: SessionRef): Promise<StoredSession | null> {
    const { key, carried } = ticket
    const isLive = await read(ticket) !== null
    if (await revocations.end(key, endOf(ticket))) return isLive && carried !== null ? { key, record: carried.record } : null
    const nextKey = await revocations.successor(key)
    // It continues with the same user. How long its copies live is in its own cookie only.
    return nextKey === null ? null : await end({ key: nextKey, carried: carried && { ...carried, endsAt: now() + LONGEST_LIFE_MS } })
  }

  /** The session under the same ID, with another record. Returns null if it has ended. */
  async function continued (ticket: Ticket, record: SessionRecord): Promise<Stored | null> {
    const { carried } = ticket
    if (carried === null || await read(ticket) === null) return null
    return carrying({ ...ticket, stale: false }, { ...carried, record })
  }

  function begun (ticket: Ticket, record: SessionRecord, known: Revocation, origin?: unknown): Stored {
    return carrying(ticket, { id: ticket.id, record, endsAt: record.createdAt + longestMs, epoch: epochIn(known), origin })
  }

  /** Makes the session whose cookie carries this. @throws SessionTooLargeError, CookieTooLargeError */
  function carrying (ticket: Ticket, carried: Carried): Stored {
    const { record } = carried
    assertSize(sizeOf(record.fields), maxBytes)
    const length = current().codec.lengthOf(carried)
    if (length > longestValue) throw new CookieTooLargeError(length, longestValue)
    return { ticket: { ...ticket, carried }, record }
  }

  /** Returns until when the end of a session must be remembered, in ms since the epoch. */
  function endOf ({ carried }: SessionRef): number {
    return carried === null ? now() + LONGEST_MEMORY_MS : carried.endsAt + CLOCK_SLACK_MS
  }
}

/** Returns how many bytes of JSON surely fit into the value of a cookie, even if they cannot be compressed. */
export function bytesThatFit (longestValue: number): number {
  return Math.floor(longestValue * 3 / 4) - MOST_ADDED
}

function liveIn (key: string, { record, epoch }: Carried, known: Revocation): SessionRecord | null {
  return isRevoked(known, key, epoch) ? null : record
}
