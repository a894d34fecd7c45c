const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

export function iso (time: number): string {
  return new Date(time).toISOString()
}

/** A time as people write it: `24 Nov 2026 08:49 UTC`. */
export function date (time: number): string {
  return `${new Date(time).toUTCString().slice('Tue, '.length, -':14 GMT'.length)} UTC`
}

/** How long ago a time is: `3 hours ago`. */
export function ago (time: number, now: number): string {
  const passed = now - time
  return passed < MINUTE_MS ? 'a moment ago' : `${span(passed, Math.floor)} ago`
}

/** A length of time in whole units, such as `3 hours`. */
export function span (ms: number, whole: (amount: number) => number): string {
  if (ms < HOUR_MS) return count(whole(ms / MINUTE_MS), 'minute')
  if (ms < DAY_MS) return count(whole(ms / HOUR_MS), 'hour')
  return count(whole(ms / DAY_MS), 'day')
}

function count (amount: number, unit: string): string {
  return `${amount} ${unit}${amount === 1 ? '' : 's'}`
}
