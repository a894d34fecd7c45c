export type Unit = 'second' | 'minute' | 'hour' | 'day'

// Made when first needed: making one takes much longer than using it.
const formats = new Map<Unit, Intl.NumberFormat>()

/** Writes a length of time in English, such as `1 minute` or `3 hours`. */
export function durationText (amount: number, unit: Unit): string {
  let format = formats.get(unit)
  if (format === undefined) {
    format = new Intl.NumberFormat('en', { style: 'unit', unit, unitDisplay: 'long' })
    formats.set(unit, format)
  }
  return format.format(amount)
}
