import { ConfigError } from '../../common/rule.js'

/**
 * The format of each kind of record. Raise a number when an older version would misread the records. A session, an
 * account and a counter carry the number of their kind; an account or a counter without one has format 1.
 */
export const FORMATS = { sessions: 1, accounts: 1, attempts: 1, revocations: 1 } as const

/** The format of each kind of record in an engine. It is higher than in {@link FORMATS} where the engine has a newer one. */
export type Formats = Readonly<Record<keyof typeof FORMATS, number>>

/**
 * Compares the formats that an engine has noted, as numbers or text, with those that this version knows. It reads older ones.
 *
 * @throws ConfigError if one is unknown.
 */
export function assertKnownFormats (noted: Record<string, unknown>, where: string, formats: Formats = FORMATS): void {
  for (const [kind, known] of Object.entries(formats)) {
    const format = Number(noted[kind] ?? known)
    if (format > known) {
      throw new ConfigError(`${where} holds ${kind} of format ${format}, and this version of hatcheck knows format ${known}: they were written by a newer version. Start that version, or use another store.`)
    }
  }
}

/** Tells whether every noted format, as text, is a number. */
export function isNoteOfFormats (noted: Record<string, string>): boolean {
  return Object.values(noted).every((format) => /^[1-9]\d{0,3}$/.test(format))
}

/** Why a record cannot be read. */
export type Unreadable = 'damaged' | 'of an unknown format'

/** Tells whether this version can read a record of this kind, by the format that the record carries, as a number or text. */
export function isKnownFormat (kind: 'accounts' | 'attempts', format: unknown): boolean {
  return Number(format ?? 1) === FORMATS[kind]
}
