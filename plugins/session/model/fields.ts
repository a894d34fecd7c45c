import { inspect } from 'node:util'
import { IDENTITY_FIELDS, OWN_PREFIX } from '../../store/identity.js'
import { PermanentError, SessionKeyError, SessionValuesError } from './errors.js'
import { assertJson, isPlain, kindOf } from './json.js'

/** The methods of `request.session`. */
export const METHODS = [
  'get', 'set', 'has', 'keys', 'pop', 'update', 'clear', 'touch', 'isModified', 'isSaved', 'regenerate', 'destroy', 'save', 'reload', 'options'
] as const

/** The other members of `request.session`. */
export const PROPERTIES = ['permanent', 'handle', 'sessionId', 'encryptedSessionId', 'cookie', 'modified'] as const

const MEMBERS: ReadonlySet<string> = new Set([...METHODS, ...PROPERTIES])

/** A value of one of these names would hide a member of the session, reach the prototype, or pass the session off as a promise. */
const RESERVED: ReadonlySet<string> = new Set([...MEMBERS, ...Object.getOwnPropertyNames(Object.prototype), 'prototype', 'toJSON', 'then'])

/** Tells whether handlers can neither see nor set a value with this key. */
export function isReserved (key: string): boolean {
  return RESERVED.has(key) || key.startsWith(OWN_PREFIX)
}

/** Tells whether a key is the application's: it is neither reserved nor one of those that say who is logged in. */
export function isApplicationKey (key: string): boolean {
  return !isReserved(key) && !IDENTITY_FIELDS.includes(key)
}

/** Checks that a session can hold the value under this key. @throws SessionKeyError, SessionValueError */
export function assertEntry (key: unknown, value: unknown): asserts key is string {
  assertKey(key)
  if (value !== undefined) assertJson(key, value)
}

/**
 * Returns the entries of an object, all of which a session can hold.
 *
 * @throws SessionValuesError, SessionKeyError, SessionValueError
 */
export function entriesOf (values: unknown): Array<[string, unknown]> {
  assertValues(values)
  for (const symbol of Object.getOwnPropertySymbols(values)) assertKey(symbol)
  const entries = Object.entries(values)
  for (const [key, value] of entries) assertEntry(key, value)
  return entries
}

/** Refuses a Map, say, whose values would be lost. @throws SessionValuesError */
export function assertValues (values: unknown): asserts values is Record<string, unknown> {
  if (typeof values !== 'object' || values === null || !isPlain(values)) throw new SessionValuesError(kindOf(values))
}

/** Refuses the text 'false', which would count as true. @param name of the setting, for the error @throws PermanentError */
export function assertPermanent (name: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean') throw new PermanentError(name, inspect(value))
}

function assertKey (key: unknown): asserts key is string {
  const rule = brokenRule(key)
  if (rule !== null) throw new SessionKeyError(rule, inspect(key))
}

function brokenRule (key: unknown): string | null {
  if (typeof key !== 'string') return 'be a string'
  if (key === '') return 'not be empty'
  if (RESERVED.has(key)) return MEMBERS.has(key) ? 'not be the name of a member of the session' : 'not be a name that objects have, such as toString, prototype or then'
  if (key.startsWith(OWN_PREFIX)) return `not begin with "${OWN_PREFIX}"`
  // A store that keeps keys as UTF-8 would change a lone surrogate.
  return key.isWellFormed() ? null : 'be well-formed text'
}
