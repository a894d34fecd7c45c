import type { Session as Data } from 'fastify'
import { inspect } from 'node:util'
import { PermanentError, SessionKeyError, SessionValuesError } from './errors.js'
import { OWN_PREFIX, assertJson, isPlain, kindOf } from './fields.js'
import { cookieUnsupported, type CookieDescription } from './response.js'
import type { Session } from './session.js'

const STATE = Symbol('hatcheck.session')

type Callback = (error?: unknown) => void

/** What a handler sees as `request.session`: the values as properties, and these methods. */
export interface SessionObject extends Data {
  get<K extends keyof Data> (key: K): Data[K] | undefined
  /** Sets a value; undefined deletes the key. @throws SessionKeyError, SessionValueError */
  set<K extends keyof Data> (key: K, value: Data[K] | undefined): void
  /** Tells whether the key has a value. */
  has (key: string): boolean
  /** Takes the value out. Returns `fallback`, or undefined, if the key has none. */
  pop<K extends keyof Data> (key: K): Data[K] | undefined
  pop<K extends keyof Data, D> (key: K, fallback: D): Exclude<Data[K], undefined> | D
  /** Sets several values; none of them if one is refused. */
  update (values: { [K in keyof Data]?: Data[K] | undefined }): void
  /** Deletes every key. */
  clear (): void
  /** Returns the keys that have a value. */
  keys (): string[]
  /** "Keep me signed in": the longer pair of lifetimes, and a cookie that outlives the browser. */
  permanent: boolean
  /** The ID that the session has, or will have once it is stored. */
  readonly sessionId: string
  /** The ticket: the value of the session cookie. */
  readonly encryptedSessionId: string
  /** The session cookie as it is sent. */
  readonly cookie: CookieDescription
  /** Notes activity with this response, also if it was noted a moment ago. */
  touch (): void
  /** Tells whether there are changes that are not stored yet. */
  isModified (): boolean
  /** Tells whether the session is in the store. */
  isSaved (): boolean
  /**
   * Gives the session a new ID, with the values of these keys; the old ID is dead when this resolves. A session that is
   * not stored yet only drops its other values.
   *
   * @default no keys
   * @throws SessionGoneError (409) if the session has ended meanwhile.
   * @throws NoCookieError if the headers of the response have left.
   */
  regenerate (keys?: readonly string[]): Promise<void>
  regenerate (callback: Callback): void
  regenerate (keys: readonly string[], callback: Callback): void
  /**
   * Ends every session that the request presents a ticket of, for good. Values that are set after this begin a new one.
   *
   * @throws LogoutUnconfirmedError (503) if that cannot be stored; the tickets are refused until it is.
   */
  destroy (): Promise<void>
  destroy (callback: Callback): void
  /**
   * Stores the changes now. A new visitor gets the cookie with the headers of the response.
   *
   * @throws SessionGoneError (409) if the session has ended meanwhile.
   * @throws NoCookieError if the session is new and the headers of the response have left; nothing is stored.
   */
  save (): Promise<void>
  save (callback: Callback): void
  /** Drops the changes that are not stored, and reads the session anew. */
  reload (): Promise<void>
  reload (callback: Callback): void
}

type Facade = SessionObject & { [STATE]: Session }

export function createFacade (session: Session): SessionObject {
  return new Proxy(session, traps) as unknown as SessionObject
}

/** The methods of `request.session`. */
const methods = {
  get (this: Facade, key: string) { return this[STATE].get(key) },
  set (this: Facade, key: string, value: unknown) { this[STATE].set(key, value) },
  has (this: Facade, key: string) { return this[STATE].has(key) },
  keys (this: Facade) { return this[STATE].keys() },
  pop (this: Facade, key: string, fallback?: unknown) {
    const session = this[STATE]
    const value = session.has(key) ? session.get(key) : fallback
    session.delete(key)
    return value
  },
  update (this: Facade, values: unknown) { this[STATE].update(entriesOf(values)) },
  clear (this: Facade) { for (const key of this[STATE].keys()) this[STATE].delete(key) },
  touch (this: Facade) { this[STATE].touch() },
  isModified (this: Facade) { return this[STATE].isModified },
  isSaved (this: Facade) { return this[STATE].stored !== null },
  regenerate (this: Facade, keys?: string[] | Callback, callback?: Callback) {
    return answer(this[STATE], this[STATE].regenerate(Array.isArray(keys) ? keys : []), typeof keys === 'function' ? keys : callback)
  },
  destroy (this: Facade, callback?: Callback) { return answer(this[STATE], this[STATE].destroy(), callback) },
  save (this: Facade, callback?: Callback) { return answer(this[STATE], this[STATE].save(), callback) },
  reload (this: Facade, callback?: Callback) { return answer(this[STATE], this[STATE].reload(), callback) },
  options () {
    throw cookieUnsupported('session.options()')
  }
}

/** The other members of `request.session`. */
const accessors = {
  permanent: (session: Session) => session.permanent,
  sessionId: (session: Session) => session.id,
  encryptedSessionId: (session: Session) => session.signedId,
  cookie: (session: Session) => session.describeCookie(),
  // Flask needs it to see a change within a value. Setting it does nothing here.
  modified: (session: Session) => session.isModified
}

/** Every member by its name. A Map: each property that is read is looked up here first. */
const members: ReadonlyMap<string, (session: Session) => unknown> = new Map<string, (session: Session) => unknown>([
  ...Object.entries(methods).map(([name, method]) => [name, () => method] as const),
  ...Object.entries(accessors)
])

/** Names that no session key may have: it would hide a member, or reach the prototype. */
export const RESERVED: ReadonlySet<string> = new Set([
  ...members.keys(), ...Object.getOwnPropertyNames(Object.prototype), 'prototype', 'toJSON', 'then'
])

/** Half a surrogate pair is no text: a store that keeps keys as UTF-8 would change it. */
const HALF_CHARACTER = /\p{Cs}/u

/** @throws SessionKeyError, SessionValueError */
export function assertValue (key: unknown, value: unknown): asserts key is string {
  assertKey(key)
  if (value !== undefined) assertJson(key, value)
}

/**
 * The keys and values of an object, all of which a session can hold.
 *
 * @throws SessionValuesError, SessionKeyError, SessionValueError
 */
export function entriesOf (values: unknown): Array<[string, unknown]> {
  if (typeof values !== 'object' || values === null || !isPlain(values)) throw new SessionValuesError(kindOf(values))
  for (const symbol of Object.getOwnPropertySymbols(values)) assertKey(symbol)
  const entries = Object.entries(values)
  for (const [key, value] of entries) assertValue(key, value)
  return entries
}

/** @throws SessionKeyError */
function assertKey (key: unknown): asserts key is string {
  if (typeof key !== 'string' || key === '' || RESERVED.has(key) || key.startsWith(OWN_PREFIX) || HALF_CHARACTER.test(key)) throw new SessionKeyError(inspect(key))
}

/** Promises are the house's way; a callback, which `@fastify/session` also takes, is met here. */
function answer ({ request }: Session, promise: Promise<void>, callback?: Callback): Promise<void> | undefined {
  if (callback === undefined) return promise
  promise.then(() => callback(), callback).catch((error: unknown) => { request.log.error({ err: error }, 'a callback of the session failed') })
}

/** The text 'false' would count as true. @throws PermanentError */
function flagOf (value: unknown): boolean {
  if (typeof value !== 'boolean') throw new PermanentError(inspect(value))
  return value
}

const traps: ProxyHandler<Session> = {
  get (session, key) {
    if (typeof key === 'symbol') return key === STATE ? session : undefined
    const member = members.get(key)
    if (member !== undefined) return member(session)
    const value = session.get(key)
    // No value has the name of one of these.
    return value === undefined ? (Object.prototype as Record<string, unknown>)[key] : value
  },
  set (session, key, value) {
    if (key === 'permanent') session.setPermanent(flagOf(value))
    else if (key === 'cookie') throw cookieUnsupported('session.cookie = …')
    else if (key !== 'modified') session.set(key, value)
    return true
  },
  has: (session, key) => typeof key === 'string' && (members.has(key) || session.has(key)),
  deleteProperty (session, key) {
    if (typeof key === 'string') session.delete(key)
    return true
  },
  ownKeys: (session) => session.keys(),
  getOwnPropertyDescriptor (session, key) {
    if (typeof key !== 'string' || !session.has(key)) return undefined
    return { value: session.get(key), writable: true, enumerable: true, configurable: true }
  },
  defineProperty (session, key, descriptor) {
    if (!('value' in descriptor)) throw new SessionKeyError(inspect(key))
    session.set(key, descriptor.value)
    return true
  },
  getPrototypeOf: () => Object.prototype,
  setPrototypeOf () { throw new SessionKeyError("'__proto__'") },
  preventExtensions: () => false
}
