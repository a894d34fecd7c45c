import { assertRule, shown } from '../common/rule.js'

// Not a JSON Schema: compiling one took more than half of the time of a registration.

/** A plain option: its type, its limits and its default. */
export type Property =
  | { type: 'string', minLength?: 1, default?: string }
  | { type: 'string', pattern: RegExp, rule: string, default?: string }
  | { type: 'string', enum: readonly string[], anyCase?: true, default?: string }
  | { type: 'integer', minimum: number, maximum: number, default?: number }
  | { type: 'boolean', default?: boolean }

/** The type that a property describes. */
type ValueOf<P> =
  P extends { enum: ReadonlyArray<infer E> } ? E :
    P extends { type: 'integer' } ? number :
      P extends { type: 'boolean' } ? boolean : string

/** The values of properties: optional where there is no default. */
export type ValuesOf<P> =
  { [K in keyof P as P[K] extends { default: unknown } ? K : never]: ValueOf<P[K]> } &
  { [K in keyof P as P[K] extends { default: unknown } ? never : K]?: ValueOf<P[K]> }

/**
 * Checks the options that are plain values, and fills in the defaults. Other options are ignored.
 *
 * @param name the name by which the caller knows an option.
 * @throws ConfigError with the rule that is broken.
 */
export function validate<const P extends Record<string, Property>> (properties: P, given: Record<string, unknown>, name: (option: string) => string): ValuesOf<P> {
  const values: Record<string, unknown> = {}
  for (const [option, property] of Object.entries(properties)) {
    const value = given[option] === undefined ? property.default : valueOf(property, given[option], name(option))
    if (value !== undefined) values[option] = value
  }
  return values as ValuesOf<P>
}

function valueOf (property: Property, value: unknown, name: string): string | number | boolean {
  switch (property.type) {
    case 'integer': {
      const { minimum, maximum } = property
      // Number() alone would take 1e3, 0x10 and an empty text.
      const number = typeof value === 'number' || (typeof value === 'string' && /^-?\d+$/.test(value)) ? Number(value) : NaN
      assertRule(Number.isInteger(number), `${name} must be a whole number in plain digits; got ${shown(value)}.`)
      assertRule(number >= minimum, `${name} must be at least ${minimum}; got ${shown(value)}.`)
      assertRule(number <= maximum, `${name} must be at most ${maximum}; got ${shown(value)}.`)
      return number
    }
    case 'boolean':
      assertRule(typeof value === 'boolean' || value === 'true' || value === 'false', `${name} must be a boolean; got ${shown(value)}.`)
      return String(value) === 'true'
    case 'string':
      if ('enum' in property) return wordOf(property, value, name)
      assertRule(typeof value === 'string', `${name} must be text; got ${shown(value)}.`)
      if ('pattern' in property) assertRule(property.pattern.test(value), `${name} ${property.rule}; got ${shown(value)}.`)
      else assertRule(value.length >= (property.minLength ?? 0), `${name} must not be empty; got ${shown(value)}.`)
      return value
  }
}

function wordOf ({ enum: words, anyCase = false }: { enum: readonly string[], anyCase?: boolean }, value: unknown, name: string): string {
  // A boolean may be one of the words.
  const text = typeof value === 'boolean' ? String(value) : value
  const word = words.find((word) => word === (anyCase && typeof text === 'string' ? text.toLowerCase() : text))
  assertRule(word !== undefined, `${name} must be one of ${words.join(', ')}; got ${shown(value)}.`)
  return word
}
