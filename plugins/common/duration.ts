export type Unit = 'second' | 'minute' | 'hour' | 'day'

// Made when first needed: making one takes much longer than using it.
const formats = new Map<string, Intl.NumberFormat>()

/** Writes a length of time, such as `1 minute` or `3 hours`. */
export function durationText (amount: number, unit: Unit, language = 'en'): string {
  const key = `${unit} ${language}`
  let format = formats.get(key)
  if (format === undefined) {
    format = new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' })
    formats.set(key, format)
  }
  return format.format(amount)
}
