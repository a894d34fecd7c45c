import { inspect } from 'node:util'
import { logError } from '../../common/log-error.js'
import { assertSize } from '../../store/errors.js'
import { sizeOfField } from '../../store/sessions.js'
import { cookieUnsupported } from '../cookie/cookie.js'
import { SessionKeyError } from '../model/errors.js'
import { assertEntry, assertPermanent, entriesOf, type METHODS, type PROPERTIES } from '../model/fields.js'
import type { Entry } from '../model/snapshot.js'
import { destroy, regenerate, reload, save } from './calls.js'
import type { SessionCallback, SessionObject } from './session-object.js'
import type { Session } from './session.js'

const SESSION = Symbol('hatcheck.session')
/** In bytes. */
const SMALLEST_FIELD = sizeOfField('a', '1')

type Facade = SessionObject & { [SESSION]: Session }

/** Makes what a handler sees as `request.session`. */
export function createFacade (session: Session): SessionObject {
  return new Proxy(session, traps) as unknown as SessionObject
}

/** The methods of `request.session`. */
const methods = {
  get (this: Facade, key: string) { return this[SESSION].get(textOf(key)) },
  set (this: Facade, key: string, value: unknown) { set(this[SESSION], key, value) },
  has (this: Facade, key: string) { return this[SESSION].has(textOf(key)) },
  keys (this: Facade) { return this[SESSION].keys() },
  pop (this: Facade, key: string, fallback?: unknown) {
    const session = this[SESSION]
    const value = session.has(textOf(key)) ? session.get(key) : fallback
    session.delete(key)
    return value
  },
  update (this: Facade, values: unknown) { setEach(this[SESSION], entriesOf(values)) },
  clear (this: Facade) { this[SESSION].clear() },
  touch (this: Facade) { this[SESSION].touch() },
  isModified (this: Facade) { return this[SESSION].isModified },
  isSaved (this: Facade) { return this[SESSION].stored !== null },
  regenerate (this: Facade, keys?: string[] | SessionCallback, callback?: SessionCallback) {
    const [kept, done] = typeof keys === 'function' ? [undefined, keys] : [keys, callback]
    return withCallback(this[SESSION], regenerate(this[SESSION], kept), done)
  },
  destroy (this: Facade, callback?: SessionCallback) { return withCallback(this[SESSION], destroy(this[SESSION]), callback) },
  save (this: Facade, callback?: SessionCallback) { return withCallback(this[SESSION], save(this[SESSION]), callback) },
  reload (this: Facade, callback?: SessionCallback) { return withCallback(this[SESSION], reload(this[SESSION]), callback) },
  options () {
    throw cookieUnsupported('session.options()')
  }
} satisfies Record<typeof METHODS[number], unknown>

/** The other members of `request.session`. */
const properties = {
  permanent: (session: Session) => session.permanent,
  handle: (session: Session) => session.handle,
  sessionId: (session: Session) => session.ensureId(),
  encryptedSessionId: (session: Session) => session.cookieValue,
  cookie: (session: Session) => session.context.cookie.describe(session),
  // In Flask, setting it reports a change within a value. hatcheck sees such a change by itself.
  modified: (session: Session) => session.isModified
} satisfies Record<typeof PROPERTIES[number], unknown>

/** Every member by its name. A Map, since every read of a property looks here first. */
const members: ReadonlyMap<string, (session: Session) => unknown> = new Map<string, (session: Session) => unknown>([
  ...Object.entries(methods).map(([name, method]) => [name, () => method] as const),
  ...Object.entries(properties)
])

/** Calls the callback that `@fastify/session` takes in place of a promise. Without the promise, nobody would see the error of a call. */
function withCallback ({ request }: Session, promise: Promise<void>, callback?: SessionCallback): Promise<void> | undefined {
  if (typeof callback !== 'function') return promise
  promise.then(() => callback(), callback).catch((error: unknown) => { logError(request.log, error, 'a callback of the session failed') })
}

/** Refuses what no key can be: `session.get(5)` finds nothing that `session['5'] = …` has set. @throws SessionKeyError */
function textOf (key: unknown): string {
  if (typeof key !== 'string') throw new SessionKeyError('be a string', inspect(key))
  return key
}

function set (session: Session, key: unknown, value: unknown): void {
  assertEntry(key, value)
  assertFits(session, [[key, value]])
  session.put(key, value)
}

/** Sets values that JSON can hold, or none of them. @throws SessionSchemaError, SessionTooLargeError */
function setEach (session: Session, entries: readonly Entry[]): void {
  assertFits(session, entries)
  for (const [key, value] of entries) session.put(key, value)
}

/**
 * Checks values that are to be set. A schema may visit every value at each check, so the number of values is limited here and not
 * only where they are stored.
 *
 * @throws SessionSchemaError, SessionTooLargeError
 */
function assertFits ({ context: { schema, maxBytes }, values }: Session, entries: readonly Entry[]): void {
  if (schema === null) return
  const set = entries.filter(([, value]) => value !== undefined)
  if (set.length === 0) return
  const others = values.snapshot()
  assertSize(others.size * SMALLEST_FIELD, maxBytes)
  schema.assertFits(set, others)
}

const traps: ProxyHandler<Session> = {
  get (session, key) {
    if (typeof key === 'symbol') return key === SESSION ? session : undefined
    const member = members.get(key)
    if (member !== undefined) return member(session)
    const value = session.get(key)
    // No value can have one of these names.
    return value === undefined ? (Object.prototype as Record<string, unknown>)[key] : value
  },
  set (session, key, value) {
    if (key === 'permanent') {
      assertPermanent('session.permanent', value)
      session.setPermanent(value)
    } else if (key === 'cookie') throw cookieUnsupported('session.cookie = …')
    else if (key !== 'modified') set(session, key, value)
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
    if (!('value' in descriptor)) throw new SessionKeyError('have a value, and no getter or setter', inspect(key))
    // JavaScript does not let a proxy have such a property, and would throw once it is set.
    if (descriptor.configurable === false) throw new SessionKeyError('be configurable', inspect(key))
    set(session, key, descriptor.value)
    return true
  },
  getPrototypeOf: () => Object.prototype,
  setPrototypeOf () { throw new SessionKeyError('not be a name that objects have', "'__proto__'") },
  preventExtensions: () => false
}
