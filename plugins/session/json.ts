import { SessionValueError } from './errors.js'

/**
 * A session value as JSON text, or a typed error that names the place where JSON would lose something. An object
 * property that is `undefined` is left out, as JSON does, since it reads back as `undefined`; a date becomes a string.
 */
export function toJson (key: string, value: unknown): string {
  if (typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value)
  try {
    return JSON.stringify(value, function (this: unknown, name, inner: unknown) {
      const flaw = flawOf(inner, name === '' || Array.isArray(this))
      if (flaw !== null) throw new SessionValueError(name === '' ? `"${key}"` : `"${name}" in "${key}"`, flaw)
      return inner
    })
  } catch (error) {
    if (error instanceof SessionValueError) throw error
    throw new SessionValueError(`"${key}"`, error instanceof RangeError ? 'nested too deeply' : 'circular, or its toJSON fails')
  }
}

/** The value of JSON text; undefined if it is none. */
export function fromJson (text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const FAITHFUL = new Set(['[object Object]', '[object Array]', '[object String]', '[object Number]', '[object Boolean]', '[object Null]'])

function flawOf (value: unknown, isElement: boolean): string | null {
  switch (typeof value) {
    case 'undefined': return isElement ? 'undefined (use null, or delete the key)' : null
    case 'function': case 'symbol': case 'bigint': return `a ${typeof value}`
    case 'number': return Number.isFinite(value) ? null : String(value)
    case 'object': {
      const tag = Object.prototype.toString.call(value)
      return FAITHFUL.has(tag) ? null : `a ${tag.slice('[object '.length, -1)}`
    }
    default: return null
  }
}
