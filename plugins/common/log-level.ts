/** Whether a log of this level has more in it than warnings. */
export function isTalkative (level: string): boolean {
  return !['warn', 'error', 'fatal', 'silent'].includes(level)
}

/** The level of a part of the log that tells of nothing but trouble: warnings and errors, or less if the log has less. */
export function quietLevel (level: string): { logLevel?: 'warn' } {
  return isTalkative(level) ? { logLevel: 'warn' } : {}
}
