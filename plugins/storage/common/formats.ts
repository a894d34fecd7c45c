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

/**
 * Returns the formats that are noted in bytes of MessagePack, or null if they are damaged. The bytes are a record with named
 * fields of small numbers, as lmdb writes an object. A decoder could take seconds over a damaged length, so none is used.
 *
 * Source: `recordDefinition` in unpack.js of the npm package msgpackr.
 */
export function notedFormats (bytes: Buffer): Record<string, number> | null {
  const byteAt = (at: number): number => bytes[at] ?? 0
  const count = byteAt(0) === 0xd4 && byteAt(1) === 0x72 && (byteAt(3) & 0xf0) === 0x90 ? byteAt(3) & 0x0f : 0
  const names: string[] = []
  let at = 4
  while (names.length < count && (byteAt(at) & 0xe0) === 0xa0) {
    const end = at + 1 + (byteAt(at) & 0x1f)
    names.push(bytes.toString('latin1', at + 1, end))
    at = end
  }
  const formats = [...bytes.subarray(at)]
  if (count === 0 || names.length !== count || formats.length !== count || formats.some((format) => format === 0 || format > 0x7f)) return null
  return Object.fromEntries(names.map((name, i) => [name, formats[i] as number]))
}

/** Why a record cannot be read. */
export type Unreadable = 'damaged' | 'of an unknown format'

/** Tells whether this version can read a record of this kind, by the format that the record carries, as a number or text. */
export function isKnownFormat (kind: 'accounts' | 'attempts', format: unknown): boolean {
  return Number(format ?? 1) === FORMATS[kind]
}
