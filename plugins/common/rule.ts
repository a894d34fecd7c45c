import { createError } from '@fastify/error'
import { inspect } from 'node:util'

/** A configuration that cannot work. The text is the rule. */
export const ConfigError = createError<[string]>('HATCHECK_CONFIG', '%s', 500)

/** @throws ConfigError with the rule if it does not hold. */
export function assertRule (holds: boolean, rule: string): asserts holds {
  if (!holds) throw new ConfigError(rule)
}

/** A value as its author wrote it, on one line. */
export function shown (value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : inspect(value, { depth: 0, breakLength: Infinity })
}
