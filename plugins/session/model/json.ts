import { SessionValueError } from './errors.js'

/** `JSON.stringify` searches all enclosing objects for a cycle, so its cost grows with the square of the depth. */
const MAX_DEPTH = 1_000
const TOO_DEEP = 'nested too deeply'

/**
 * Converts a session value to JSON text.
 *
 * As JSON does, it turns a valid `Date` into a string and leaves out object properties that are `undefined`. Objects and
 * arrays may be nested 1,000 levels deep.
 *
 * @throws SessionValueError naming the place where JSON would lose something.
 */
export function toJson (key: string, value: unknown): string {
  try {
    if (isJson(value)) return JSON.stringify(value)
    const depths = new WeakMap<object, number>()
    return JSON.stringify(value, function (this: any, name, inner: unknown) {
      const isElement = name === '' || Array.isArray(this)
      // `inner` is the result of a `toJSON` method, if the value has one.
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

/** Checks a value without converting it. @throws SessionValueError as {@link toJson} does */
export function assertJson (key: string, value: unknown): void {
  try {
    if (isJson(value)) return
  } catch {}
  toJson(key, value)
}

/** Tells whether JSON holds the value as it is. Nearly all values pass; this check takes a tenth of the time of the search for a flaw. */
function isJson (value: unknown, depth = 1): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true
  if (typeof value !== 'object') return Number.isFinite(value)
  if (depth > MAX_DEPTH || 'toJSON' in value) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    // An array with holes, or with properties beside its elements, loses them.
    if (Object.keys(value).length !== value.length || Object.getOwnPropertySymbols(value).length > 0 || (prototype !== Array.prototype && !isPlainArray(value))) return false
    for (const inner of value) if (!isJson(inner, depth + 1)) return false
  } else {
    if (Object.getOwnPropertySymbols(value).length > 0 || (prototype !== Object.prototype && !isPlain(value))) return false
    for (const key of Object.keys(value)) if (!isJson((value as Record<string, unknown>)[key], depth + 1)) return false
  }
  return true
}

/** Parses JSON text. Returns undefined if the text is not JSON. */
export function fromJson (text: string | undefined): unknown {
  if (text === undefined) return undefined
  // A short string without escapes, such as a user name: slicing is far faster than the parser.
  if (text.startsWith('"') && !text.includes('\\') && text.indexOf('"', 1) === text.length - 1) return text.slice(1, -1)
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** JSON unboxes these objects. */
const BOXED = new Set(['[object String]', '[object Number]', '[object Boolean]'])

/** Says why JSON cannot hold the value; null if it can. */
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
  const isArray = Array.isArray(value)
  if (isArray ? isPlainArray(value) : isPlain(value)) {
    if (Object.getOwnPropertySymbols(value).length > 0) return 'an object with a symbol as a key'
    return isArray && Object.keys(value).length > value.length ? 'a list with keys beside its elements' : null
  }
  const tag = Object.prototype.toString.call(value)
  if (tag === '[object Date]') return Number.isNaN((value as Date).getTime()) ? 'an invalid Date' : null
  return BOXED.has(tag) ? flawOf(value.valueOf(), false) : kindOf(value)
}

/** Names the kind of a value for an error message. Never shows the value, which may be a secret. */
export function kindOf (value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value !== 'object') return `a ${typeof value}`
  const name: unknown = value.constructor?.name
  const kind = typeof name === 'string' && name !== '' ? name : Object.prototype.toString.call(value).slice('[object '.length, -1)
  return `${/^[aeio]/i.test(kind) ? 'an' : 'a'} ${kind}`
}

/**
 * Tells whether an object has no class. An object of another JavaScript realm, such as a test runner's, has another
 * `Object.prototype`. `request.query` and `request.params` of Fastify have an empty prototype.
 */
export function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  if (prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && (Object.hasOwn(prototype, 'hasOwnProperty') || Reflect.ownKeys(prototype).length === 0)
}

function isPlainArray (value: readonly unknown[]): boolean {
  const prototype = Object.getPrototypeOf(value)
  return Array.isArray(prototype) && isPlain(prototype)
}

/** @param depths the depth of each object visited before */
function isTooDeep (depths: WeakMap<object, number>, holder: object, inner: unknown): boolean {
  if (typeof inner !== 'object' || inner === null) return false
  const depth = (depths.get(holder) ?? 0) + 1
  depths.set(inner, depth)
  return depth > MAX_DEPTH
}
