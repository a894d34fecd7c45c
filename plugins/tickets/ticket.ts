import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { indexOfMac } from '../common/index-of-mac.js'
import { Memo } from '../common/memo.js'
import { ownText } from '../common/own-text.js'
import { DEFAULT_REALM, hasKeyPrefix, hashIn, keyPrefix, realmSuffix } from '../common/realm.js'
import type { Carried } from '../store/carried.js'

/**
 * A ticket is the value of the session cookie: an ID and its MAC, `id.mac`, both in base64url.
 *
 * The store knows a session by the SHA-256 of the ID and never sees the ID, so a leaked store holds no usable ticket. The
 * realm is part of both the MAC and the store key, so a ticket of one realm is invalid in another.
 */
export interface Ticket {
  /** 32 random bytes, base64url. */
  readonly id: string
  /** The key of the session in the store. */
  readonly key: string
  /** Whether a fallback key has signed it, or the cookie has a former name, so that the cookie has to be sent again. */
  readonly stale: boolean
  /** When this process last recorded activity, in ms. Keeps parallel requests from each writing a touch. */
  touchedAt: number
  /** The part of the session that the cookie carries; null if the store keeps the session. */
  readonly carried: Carried | null
}

/** Signs and verifies the tickets of one realm. The first secret signs, all verify. */
export interface TicketSigner {
  /** Makes an ID. */
  newId (): string
  /** Returns the ticket of an ID that this process has made. */
  ticketOf (id: string): Ticket
  /**
   * Returns the cookie value of an ID, signed with the first secret.
   *
   * @param ticket that of the ID, if the caller has it
   */
  sign (id: string, ticket?: Ticket): string
  /** Tells whether a value has the format of a ticket. Only {@link verify} proves that it is one. */
  isLike (value: string): boolean
  /** Returns the ticket of a cookie value, or null if no secret verifies it. */
  verify (value: string): Ticket | null
  /** Tells whether a store key belongs to this realm. */
  ownsKey (key: string): boolean
  /**
   * Returns the handle by which people and logs know a session. It reveals neither the ID nor the store key: linking it to a
   * session takes the first secret.
   */
  handleOf (key: string): string
  /**
   * Returns the MACs of a text for another purpose than tickets, one for each secret.
   *
   * @param purpose one of a few constants
   */
  macsFor (purpose: string, text: string): Buffer[]
}

const ID_BYTES = 32
const TICKET_FORMAT = /^[\w-]{43}\.[\w-]{43}$/
const SEPARATOR_AT = 43
/** 131 bits. */
const HANDLE_LENGTH = 22

/** How many verified tickets and handles are kept at least. At most twice as many are. */
const MEMO_SIZE = 5_000
/** How many new tickets are kept at least. A response sends one up to three times. */
const NEW_TICKETS = 500

export function createTicketSigner (secrets: readonly Buffer[], realm = DEFAULT_REALM): TicketSigner {
  const keys = secrets.map((secret) => deriveKey(secret, 'session ticket', realm))
  const signingKey = keys[0]
  if (signingKey === undefined) throw new TypeError('at least one secret is required')
  const handleKey = deriveKey(secrets[0] as Buffer, 'session handle', realm)
  const prefix = keyPrefix(realm)
  const keysByPurpose = new Map<string, readonly Buffer[]>()
  const memo = new Memo<Ticket>(MEMO_SIZE)
  const signed = new Memo<string>(NEW_TICKETS)
  const handles = new Memo<string>(MEMO_SIZE)

  return {
    macsFor: (purpose, text) => keysFor(purpose).map((key) => createHmac('sha256', key).update(text).digest()),
    handleOf: (key) => handles.getOrMake(key, newHandle),
    newId: () => randomBytes(ID_BYTES).toString('base64url'),
    ticketOf: (id) => ticketOf(id, realm),
    sign (id, ticket) {
      const known = signed.get(id)
      if (known !== undefined) return known
      const value = `${id}.${macText(id, signingKey)}`
      signed.set(id, value)
      // The browser sends it back with its next request.
      memo.set(value, ticket === undefined || ticket.stale ? ticketOf(id, realm) : ticket)
      return value
    },
    isLike: isTicketLike,
    verify (value) {
      const known = memo.get(value)
      if (known !== undefined) return known
      const ticket = check(value, keys, realm)
      if (ticket !== null) memo.set(value, ticket)
      return ticket
    },
    ownsKey: (key) => hasKeyPrefix(key, prefix)
  }

  function newHandle (key: string): string {
    // A leading dash would look like an option on a command line.
    return macText(key, handleKey).replaceAll('-', '_').slice(0, HANDLE_LENGTH)
  }

  /** Deriving a key costs more than a MAC with it, and there are few purposes. */
  function keysFor (purpose: string): readonly Buffer[] {
    let derived = keysByPurpose.get(purpose)
    if (derived === undefined) {
      derived = secrets.map((secret) => deriveKey(secret, purpose, realm))
      keysByPurpose.set(purpose, derived)
    }
    return derived
  }
}

/** Returns the key of a session in the store. */
export function storeKey (id: string, realm = DEFAULT_REALM): string {
  return keyPrefix(realm) + hashIn(realm, id)
}

/**
 * Derives a key for each purpose and realm, so that a MAC for one of them is invalid for another.
 *
 * Source: RFC 5869.
 */
export function deriveKey (secret: Buffer, purpose: string, realm: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `hatcheck/1 ${purpose}${realmSuffix(realm)}`, 32))
}

function isTicketLike (value: string): boolean {
  return TICKET_FORMAT.test(value)
}

function check (value: string, keys: readonly Buffer[], realm: string): Ticket | null {
  if (!isTicketLike(value)) return null
  const id = value.slice(0, SEPARATOR_AT)
  const match = indexOfMac(value.slice(SEPARATOR_AT + 1), keys.map((key) => macText(id, key)))
  return match === -1 ? null : ticketOf(ownText(id), realm, match > 0)
}

function ticketOf (id: string, realm: string, stale = false): Ticket {
  return { id, key: storeKey(id, realm), stale, touchedAt: 0, carried: null }
}

function macText (text: string, key: Buffer): string {
  return createHmac('sha256', key).update(text).digest('base64url')
}
