import type { TortureReport } from './torture.js'

/** The report as a few readable lines. */
export function describe ({ rounds, killedAtStart, acknowledged: { login, set, renewal, read, logout }, checks, records, fileBytes, mostReaders, seconds, faults }: TortureReport): string {
  return [
    `${rounds} kills at work and ${killedAtStart} at the start, in ${seconds.toFixed(1)} s`,
    `acknowledged: ${login} logins, ${set} writes, ${renewal} new IDs, ${read} reads, ${logout} logouts; ${checks} checks of them after kills`,
    `${records} sessions in a file of ${(fileBytes / 1024).toFixed(0)} KiB; ${mostReaders} reader slots at most`,
    `violations: ${faults.length}`
  ].join('\n')
}
