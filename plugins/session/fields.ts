import { randomBytes } from 'node:crypto'
import { SessionValueError } from './errors.js'
import type { SessionFields } from '../store/sessions.js'

/** Fields of a session that begin so are hatcheck's own: no handler sees or sets them. */
export const OWN_PREFIX = 'hatcheck:'

/** Describes the client that logged in. A login writes it, and nothing else does. */
export const CLIENT_FIELD = `${OWN_PREFIX}client`

/**
 * Each flash message is a field of its own: two requests that leave one at the same time touch different fields, and the
 * request that takes a field out of the store is the only one that shows it.
 */
export const FLASH_PREFIX = `${OWN_PREFIX}flash:`

/** A message for the next page. */
export interface Flash {
  /** What sort of message: `'info'`, `'error'`, any word that the pages know. */
  kind: string
  text: string
}

let flashes = 0

/** A field name that sorts by time, and within this process by order. */
export function flashField (now: number): string {
  flashes = (flashes + 1) % 1_000_000
  return `${FLASH_PREFIX}${pad(now, 9)}${pad(flashes, 4)}${randomBytes(4).toString('hex')}`
}

/** The flash messages in these fields, oldest first. */
export function flashesOf (fields: SessionFields): Flash[] {
  return Object.keys(fields).filter((name) => name.startsWith(FLASH_PREFIX)).sort().flatMap((name) => {
    const message = fromJson(fields[name])
    return Array.isArray(message) ? [{ kind: String(message[0]), text: String(message[1]) }] : []
  })
}

function pad (number: number, length: number): string {
  return number.toString(36).padStart(length, '0')
}

/**
 * A session value as JSON text.
 *
 * A valid date becomes a string, and an object property that is `undefined` is left out, as JSON does. Objects and lists may be
 * nested 1,000 levels deep.
 *
 * @throws SessionValueError naming the place where JSON would lose something.
 */
export function toJson (key: string, value: unknown): string {
  try {
    if (isJson(value)) return JSON.stringify(value)
    const depths = new WeakMap<object, number>()
    return JSON.stringify(value, function (this: any, name, inner: unknown) {
      const isElement = name === '' || Array.isArray(this)
      // What `toJSON` has made of a value is not what was given.
      const given = this[name]
      const flaw = flawOf(given, isElement) ?? (Object.is(inner, given) ? null : flawOf(inner, isElement)) ?? (isTooDeep(depths, this, inner) ? TOO_DEEP : null)
      if (flaw !== null) throw new SessionValueError(name === '' ? `"${key}"` : `"${name}" in "${key}"`, flaw)
      return inner
    })
  } catch (error) {
    if (error instanceof SessionValueError) throw error
    throw new SessionValueError(`"${key}"`, error instanceof RangeError ? TOO_DEEP : 'circular, or its toJSON fails')
  }
}

/** @param depths of the objects that were looked at before */
function isTooDeep (depths: WeakMap<object, number>, holder: object, inner: unknown): boolean {
  if (typeof inner !== 'object' || inner === null) return false
  const depth = (depths.get(holder) ?? 0) + 1
  depths.set(inner, depth)
  return depth > DEEPEST
}

/** @throws SessionValueError as {@link toJson} does, without the text. */
export function assertJson (key: string, value: unknown): void {
  try {
    if (isJson(value)) return
  } catch {}
  toJson(key, value)
}

/** JSON looks at everything around an object, in case it is there again: the cost grows with the square of the depth. */
const DEEPEST = 1_000
const TOO_DEEP = 'nested too deeply'

/** Whether a value has nothing but what JSON has. Nearly all do, and to see it takes a tenth of the time that it takes to find a flaw. */
function isJson (value: unknown, depth = 1): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true
  if (typeof value !== 'object') return Number.isFinite(value)
  if (depth > DEEPEST || 'toJSON' in value) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    // A list has no holes, and nothing beside its elements.
    if (Object.keys(value).length !== value.length || Object.getOwnPropertySymbols(value).length > 0 || (prototype !== Array.prototype && !isPlainList(value))) return false
    for (const inner of value) if (!isJson(inner, depth + 1)) return false
  } else {
    if (Object.getOwnPropertySymbols(value).length > 0 || (prototype !== Object.prototype && !isPlain(value))) return false
    for (const key of Object.keys(value)) if (!isJson((value as Record<string, unknown>)[key], depth + 1)) return false
  }
  return true
}

/** The value of JSON text; undefined if the text is not JSON. */
export function fromJson (text: string | undefined): unknown {
  if (text === undefined) return undefined
  // The name of a user, most of the time, for which the parser takes far longer.
  if (text.startsWith('"') && !text.includes('\\') && text.indexOf('"', 1) === text.length - 1) return text.slice(1, -1)
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Boxed values, which JSON unboxes. */
const BOXED = new Set(['[object String]', '[object Number]', '[object Boolean]'])

/** Why JSON would not hold a value as it is; null if it does. */
function flawOf (value: unknown, isElement: boolean): string | null {
  switch (typeof value) {
    case 'object': return value === null ? null : objectFlaw(value)
    case 'undefined': return isElement ? 'undefined (use null, or delete the key)' : null
    case 'function': case 'symbol': case 'bigint': return `a ${typeof value}`
    case 'number': return Number.isFinite(value) ? null : String(value)
    default: return null
  }
}

function objectFlaw (value: object): string | null {
  const isList = Array.isArray(value)
  if (isList ? isPlainList(value) : isPlain(value)) {
    if (Object.getOwnPropertySymbols(value).length > 0) return 'an object with a symbol as a key'
    return isList && Object.keys(value).length > value.length ? 'a list with keys beside its elements' : null
  }
  const tag = Object.prototype.toString.call(value)
  if (tag === '[object Date]') return Number.isNaN((value as Date).getTime()) ? 'an invalid Date' : null
  return BOXED.has(tag) ? flawOf(value.valueOf(), false) : kindOf(value)
}

/** What sort of value it is, without the value, which may be a secret. */
export function kindOf (value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value !== 'object') return `a ${typeof value}`
  const name: unknown = value.constructor?.name
  return `a ${typeof name === 'string' && name !== '' ? name : Object.prototype.toString.call(value).slice('[object '.length, -1)}`
}

/** Whether an object has no class. Another realm of JavaScript, such as that of a test runner, has an Object of its own. */
export function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty'))
}

function isPlainList (value: readonly unknown[]): boolean {
  const prototype = Object.getPrototypeOf(value)
  return Array.isArray(prototype) && isPlain(prototype)
}
