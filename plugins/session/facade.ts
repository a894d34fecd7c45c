import type { FastifySessionObject } from '@fastify/session'
import { inspect } from 'node:util'
import { SessionKeyError, UnsupportedError } from './errors.js'
import { toJson } from './json.js'
import type { LazySession } from './lazy-session.js'
import { OWN_PREFIX } from './own-fields.js'

const STATE = Symbol('hatcheck.session')

type Facade = FastifySessionObject & { [STATE]: LazySession }
type Callback = (error?: unknown) => void

/** What a handler sees as `request.session`: the data as properties, and the methods. */
export function createFacade (session: LazySession): FastifySessionObject {
  return new Proxy(session, traps) as unknown as FastifySessionObject
}

/** The methods of `request.session`. */
const methods = {
  get (this: Facade, key: string) { return this[STATE].get(key) },
  set (this: Facade, key: string, value: unknown) { this[STATE].set(key, value) },
  has (this: Facade, key: string) { return this[STATE].has(key) },
  keys (this: Facade) { return this[STATE].keys() },
  pop (this: Facade, key: string, fallback?: unknown) {
    const session = this[STATE]
    if (!session.has(key)) return fallback
    const value = session.get(key)
    session.delete(key)
    return value
  },
  update (this: Facade, values: Record<string, unknown>) {
    for (const [key, value] of Object.entries(values)) {
      assertKey(key)
      toJson(key, value)
    }
    for (const [key, value] of Object.entries(values)) this[STATE].set(key, value)
  },
  clear (this: Facade) { for (const key of this[STATE].keys()) this[STATE].delete(key) },
  touch (this: Facade) { this[STATE].touchForced = true },
  isModified (this: Facade) {
    const { phase, record } = this[STATE]
    const { set, remove } = this[STATE].difference()
    return phase === 'renewed' || phase === 'destroyed' || Object.keys(set).length + remove.length > 0 ||
      (record !== null && record.permanent !== this[STATE].permanent)
  },
  isSaved (this: Facade) { return this[STATE].record !== null },
  regenerate (this: Facade, keys?: string[] | Callback, callback?: Callback) {
    this[STATE].regenerate(Array.isArray(keys) ? keys : [])
    return answer(Promise.resolve(), typeof keys === 'function' ? keys : callback)
  },
  destroy (this: Facade, callback?: Callback) {
    this[STATE].destroy()
    return answer(Promise.resolve(), callback)
  },
  save (this: Facade, callback?: Callback) { return answer(this[STATE].save(), callback) },
  reload (this: Facade, callback?: Callback) { return answer(this[STATE].reload(), callback) },
  options () {
    throw new UnsupportedError('options()', 'the cookie is decided by configuration; use session.permanent for a longer life')
  }
}

/** The other members of `request.session`. */
const accessors = {
  permanent: (session: LazySession) => session.permanent,
  sessionId: (session: LazySession) => session.id,
  encryptedSessionId: (session: LazySession) => session.signedId(),
  cookie: (session: LazySession) => session.describeCookie()
}

/** Every member by its name. A Map: each property that is read is looked up here first. */
const members: ReadonlyMap<string, (session: LazySession) => unknown> = new Map([
  ...Object.entries(methods).map(([name, method]) => [name, () => method] as const),
  ...Object.entries(accessors)
])

/** Names that no session key may have: it would hide a member, or reach the prototype. */
export const RESERVED: ReadonlySet<string> = new Set([
  ...members.keys(), ...Object.getOwnPropertyNames(Object.prototype), 'prototype', 'toJSON', 'then'
])

/** Half a surrogate pair is no text: a store that keeps keys as UTF-8 would change it. */
const HALF_CHARACTER = /\p{Cs}/u

/** @throws SessionKeyError */
export function assertKey (key: unknown): asserts key is string {
  if (typeof key !== 'string' || key === '' || RESERVED.has(key) || key.startsWith(OWN_PREFIX) || HALF_CHARACTER.test(key)) throw new SessionKeyError(inspect(key))
}

/** Promises are the house's way; a callback, which `@fastify/session` also takes, is met here. */
function answer (promise: Promise<void>, callback?: Callback): Promise<void> | undefined {
  if (callback === undefined) return promise
  promise.then(() => callback(), callback)
}

const traps: ProxyHandler<LazySession> = {
  get (session, key) {
    if (typeof key === 'symbol') return key === STATE ? session : undefined
    const member = members.get(key)
    if (member !== undefined) return member(session)
    const value = session.get(key)
    return value === undefined && !session.has(key) ? (Object.prototype as Record<string, unknown>)[key] : value
  },
  set (session, key, value) {
    if (key === 'permanent') session.setPermanent(Boolean(value))
    else session.set(key as string, value)
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
    session.set(key as string, descriptor.value)
    return true
  },
  getPrototypeOf: () => Object.prototype,
  setPrototypeOf () { throw new SessionKeyError("'__proto__'") },
  preventExtensions: () => false
}
