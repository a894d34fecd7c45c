/** Writes a time such as `2026-11-24T08:49:37.000Z`, as every JSON and every list of the command line has it. @param time in ms since the epoch */
export function iso (time: number): string {
  return new Date(time).toISOString()
}
