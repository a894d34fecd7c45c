/** Whether a log of this level has more than warnings and errors. */
export function isTalkative (level: string): boolean {
  return !['warn', 'error', 'fatal', 'silent'].includes(level)
}

/** The option of a route that logs warnings and errors alone, or less if the log has less. */
export function quietLevel (level: string): { logLevel?: 'warn' } {
  return isTalkative(level) ? { logLevel: 'warn' } : {}
}
