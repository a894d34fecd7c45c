import { durationText, type Unit } from '../../plugins/common/duration.js'
import type { SafeHtml } from '../../plugins/view/html.js'
import { perLanguage, type Language } from '../../plugins/view/language.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

// Made at the first need: loading their texts takes 25 ms, which the start would have to wait for.
const relative = perLanguage(({ tag }) => new Intl.RelativeTimeFormat(tag))
const dates = perLanguage(({ tag }) => new Intl.DateTimeFormat(tag, {
  day: 'numeric', month: 'short', year: 'numeric', hour: 'numeric', minute: '2-digit', timeZone: 'UTC', timeZoneName: 'short'
}))

/** Writes a time such as `24 Nov 2026 08:49 UTC`. In English by `toUTCString`, which is the same in every version of Node. */
export function date (time: number, language: Language): string {
  if (language.tag !== 'en') return dates(language).format(time)
  return `${new Date(time).toUTCString().slice('Tue, '.length, -':14 GMT'.length)} UTC`
}

/** Writes how long ago a time was, such as `3 hours ago`. */
export function ago (time: number, now: number, language: Language): SafeHtml | string {
  const passed = now - time
  if (passed < MINUTE_MS) return language.text('a moment ago')
  const [amount, unit] = inWholeUnits(passed, Math.floor)
  return relative(language).format(-amount, unit)
}

/** Writes a length of time in whole units, such as `3 hours`. */
export function span (ms: number, whole: (amount: number) => number, { tag }: Language): string {
  return durationText(...inWholeUnits(ms, whole), tag)
}

function inWholeUnits (ms: number, whole: (amount: number) => number): [amount: number, unit: Unit] {
  if (ms < HOUR_MS) return [whole(ms / MINUTE_MS), 'minute']
  if (ms < DAY_MS) return [whole(ms / HOUR_MS), 'hour']
  return [whole(ms / DAY_MS), 'day']
}
