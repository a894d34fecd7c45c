import type { RootDatabase } from 'lmdb'
import { FORMATS } from '../common/formats.js'

/** Where the formats are noted, beside the names of the databases. */
const FORMATS_KEY = 'hatcheck formats'

/** The formats of LMDB. Sessions of format 1 are read as well. */
export const LMDB_FORMATS = { ...FORMATS, sessions: 2 } as const

/** Notes the formats of this version, within a transaction. */
export function noteFormats (env: RootDatabase): void {
  env.put(FORMATS_KEY, LMDB_FORMATS)
}

/** Returns the noted formats; undefined if there is no note, null if it is damaged. */
export function notedFormats (env: RootDatabase): Record<string, number> | null | undefined {
  const bytes = env.getBinary(FORMATS_KEY)
  return bytes && formatsIn(bytes)
}

/**
 * Returns the formats in bytes of MessagePack; null if they are damaged. The bytes are a record with named fields of small numbers,
 * as lmdb writes an object. A decoder could take seconds over a damaged length, so none is used.
 *
 * Source: `recordDefinition` in unpack.js of the npm package msgpackr.
 */
function formatsIn (bytes: Buffer): Record<string, number> | null {
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
