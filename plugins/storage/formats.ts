import { ConfigError } from '../config/resolve.js'

/**
 * The format of each kind of record. Raise a number when a process that knows only the number before would misread the
 * records. A record carries the number of its kind; a record without one has format 1.
 */
export const FORMATS = { sessions: 1, accounts: 1, attempts: 1 } as const

/**
 * Compares the formats that an engine has noted, as numbers or text, with those that this version knows.
 *
 * @throws ConfigError if one is not known.
 */
export function assertKnownFormats (noted: Record<string, unknown>, where: string): void {
  for (const [kind, known] of Object.entries(FORMATS)) {
    const format = Number(noted[kind] ?? known)
    if (format !== known) {
      throw new ConfigError(`${where} holds ${kind} of format ${format}, and this version of hatcheck knows format ${known}: they were written by a ${format > known ? 'newer' : 'different'} version. Start that version, or use another store.`)
    }
  }
}

/** Whether a record of this kind can be read, by the number that it carries, as a number or text. */
export function isKnownFormat (kind: keyof typeof FORMATS, format: unknown): boolean {
  return format === undefined || format === null || Number(format) === FORMATS[kind]
}
