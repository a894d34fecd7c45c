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

/** Whether each of the formats that are noted, as text, is a number. */
export function isNoteOfFormats (noted: Record<string, string>): boolean {
  return Object.values(noted).every((format) => /^[1-9]\d{0,3}$/.test(format))
}

/**
 * The formats that are noted in these bytes of MessagePack, or null if they are damaged: a record with named fields, as lmdb
 * writes an object, of small numbers. Looked at as text, since a decoder may take seconds over a damaged length.
 */
export function notedFormats (bytes: Buffer): Record<string, number> | null {
  const [, fields = '', values = ''] = NOTE.exec(bytes.toString('latin1')) ?? []
  const names = fields.split(SHORT_TEXT).slice(1)
  if (names.length === 0 || names.length !== values.length) return null
  return Object.fromEntries(names.map((name, i) => [name, values.charCodeAt(i)]))
}

// eslint-disable-next-line no-control-regex -- the numbers are bytes
const NOTE = /^\xd4r[\x40-\x7f][\x90-\x9f]((?:[\xa0-\xbf][ -~]+)+)([\x01-\x1f]+)$/
const SHORT_TEXT = /[\xa0-\xbf]/

/** Whether a record of this kind can be read, by the number that it carries, as a number or text. */
export function isKnownFormat (kind: keyof typeof FORMATS, format: unknown): boolean {
  return format === undefined || format === null || Number(format) === FORMATS[kind]
}
