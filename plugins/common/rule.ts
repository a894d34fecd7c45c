import { createError } from '@fastify/error'
import { inspect } from 'node:util'

/** The configuration is wrong. The text says what is allowed. */
export const ConfigError = createError<[string]>('HATCHECK_CONFIG', '%s', 500)

/**
 * Checks a rule of the configuration.
 *
 * @throws ConfigError with the rule as its text.
 */
export function assertRule (holds: boolean, rule: string): asserts holds {
  if (!holds) throw new ConfigError(rule)
}

/** Shows a value on one line, as its author wrote it. */
export function shown (value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : inspect(value, { depth: 0, breakLength: Infinity })
}
