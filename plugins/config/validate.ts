import { assertRule, shown } from '../common/rule.js'
import type { Mode } from './mode.js'
import type { NameOf } from './option-name.js'
import type { PlainRow, Row, ValuesOf } from './row.js'

// Not a JSON Schema, because compiling one took more than half of the time of a registration.

/**
 * Checks the plain options of a table, and fills in the defaults. Ignores other options.
 *
 * @throws ConfigError with the rule that is broken.
 */
export function validate<T extends Record<string, Row>> (table: T, given: Record<string, unknown>, nameOf: NameOf, mode: Mode): ValuesOf<T> {
  const values: Record<string, unknown> = {}
  for (const [option, row] of Object.entries(table)) {
    if (!isPlain(row)) continue
    const value = given[option] === undefined ? defaultOf(row, mode) : valueOf(row, given[option], nameOf(option))
    if (value !== undefined) values[option] = value
  }
  return values as ValuesOf<T>
}

function isPlain (row: Row): row is Row & PlainRow {
  return ['text', 'word', 'integer', 'flag'].includes(row.type)
}

function defaultOf (row: PlainRow, mode: Mode): string | number | boolean | undefined {
  if (mode === 'demo' && 'demo' in row) return row.demo
  return mode !== 'plugin' && 'service' in row ? row.service : row.default
}

function valueOf (row: PlainRow, value: unknown, name: string): string | number | boolean {
  const got = `; got ${shown(value)}.`
  switch (row.type) {
    case 'integer': {
      const { minimum, maximum, unit } = row
      // Number() alone would take 1e3, 0x10 and an empty text.
      const number = typeof value === 'number' || (typeof value === 'string' && /^-?\d+$/.test(value)) ? Number(value) : NaN
      assertRule(Number.isInteger(number), `${name} must be an integer${unit === undefined ? '' : ` number of ${unit}`}${got}`)
      assertRule(number >= minimum, `${name} must be at least ${minimum}${got}`)
      assertRule(number <= maximum, `${name} must be at most ${maximum}${got}`)
      return number
    }
    case 'flag':
      assertRule(typeof value === 'boolean' || value === 'true' || value === 'false', `${name} must be true or false${got}`)
      return String(value) === 'true'
    case 'word': {
      const { words, anyCase = false } = row
      // A boolean may be one of the words.
      const text = typeof value === 'boolean' ? String(value) : value
      const word = words.find((word) => word === (anyCase && typeof text === 'string' ? text.toLowerCase() : text))
      assertRule(word !== undefined, `${name} must be one of ${words.join(', ')}${got}`)
      return word
    }
    case 'text': {
      const { form, pattern = /./s } = row
      assertRule(typeof value === 'string' && pattern.test(value), `${name} must be ${form}${got}`)
      return value
    }
  }
}
