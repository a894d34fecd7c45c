import type { FastifyInstance } from 'fastify'
import { isUtf8 } from 'node:buffer'
import { SessionValueError } from '../../plugins/session/model/errors.js'
import { SessionTooLargeError } from '../../plugins/store/errors.js'

/** Strings, so that digits in them are passed over, and numbers. */
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/gs
/** The parts of a number. */
const NUMBER = /^-?(\d+)\.?(\d*)(?:e(.+))?$/i
/** Escaped characters and white space take fewer bytes once stored. */
const ESCAPE = /\\u[\da-f]{4}/gi
const SPACE = /[ \t\r\n]+/g

const LOSES_DIGITS = 'or has an integer beyond 2^53 - 1, which would lose digits (send it as text)'
const POISONS = 'or has an object with the key __proto__, or with constructor that has prototype, which JavaScript could take for a prototype'

/**
 * Reads JSON. It refuses JSON that is too long for a session, bytes that are not UTF-8, parts of a value, keys that JavaScript could
 * take for a prototype, and integers beyond 2^53, which other languages have and which would come back with other digits. The body of
 * a DELETE is ignored, and an empty body is no body.
 */
export function readValues (fastify: FastifyInstance, maxBytes: number): void {
  const parse = fastify.getDefaultJsonParser('error', 'error')
  fastify.removeContentTypeParser('application/json')
  fastify.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    if (request.method === 'DELETE' || bytes.length === 0) return done(null)
    if (!isUtf8(bytes)) return done(new SessionValueError('the body', 'not UTF-8'))
    // Source: RFC 9110, section 14.5.
    if (request.headers['content-range'] !== undefined) return done(new SessionValueError('the body', 'a part of a value, by its Content-Range'))
    const json = bytes.toString()
    const length = json.length > maxBytes ? json.replace(ESCAPE, '_').replace(SPACE, '').length : 0
    if (length > maxBytes) return done(new SessionTooLargeError(length, maxBytes))
    parse(request, json, (error, value) => {
      const flaw = flawOf(json, error)
      done(flaw === null ? error : new SessionValueError('the body', flaw), value)
    })
  })
}

/** Says why well-formed JSON is refused; null if it is not, or is not well-formed. @param error of the parser */
function flawOf (json: string, error: Error | null): string | null {
  // The parser has the same error for these keys as for text that is not JSON.
  if (error !== null) return isWellFormed(json) ? POISONS : null
  for (const [token] of json.matchAll(STRING_OR_NUMBER)) if (!token.startsWith('"') && losesDigits(token)) return LOSES_DIGITS
  return null
}

function isWellFormed (json: string): boolean {
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}

/** Tells whether a number is an integer that comes back with other digits, or might in another program. */
function losesDigits (text: string): boolean {
  const value = Number(text)
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return false
  const { digits, power, hasExponent } = decimalOf(text)
  if (power < 0) return false
  const stored = decimalOf(String(value))
  return !hasExponent || digits !== stored.digits || power !== stored.power
}

/** Returns the digits of a number without zeros around them, and the power of ten of the last one. */
function decimalOf (text: string): { digits: string, power: number, hasExponent: boolean } {
  const [, whole = '', fraction = '', exponent] = NUMBER.exec(text) ?? []
  const digits = whole + fraction
  let [start, end] = [0, digits.length]
  while (digits[start] === '0') start++
  // Not with a regular expression: its time would grow with the square of the zeros.
  while (end > start && digits[end - 1] === '0') end--
  return { digits: digits.slice(start, end), power: Number(exponent ?? 0) - fraction.length + digits.length - end, hasExponent: exponent !== undefined }
}
