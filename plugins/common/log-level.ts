/** Tells whether a log of this level contains more than warnings and errors. */
export function isTalkative (level: string): boolean {
  return !['warn', 'error', 'fatal', 'silent'].includes(level)
}

/** Returns the route option for a log of warnings and errors only, or of less if the log has less. */
export function quietLevel (level: string): { logLevel?: 'warn' } {
  return isTalkative(level) ? { logLevel: 'warn' } : {}
}
