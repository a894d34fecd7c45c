import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { isTime } from '../../common/is-time.js'
import type { Carried } from '../../store/carried.js'
import { assertSize } from '../../store/errors.js'

/*
 * The content that is sealed into a cookie: one byte that says how the text is packed, then the text. Its first line is the head; two
 * lines, the name and the JSON of the value, are a field. JSON has no line break outside of its formatting, so a line break
 * ends each of them, and the text of the fields is as long as `sizeOf` says.
 *
 * The head is never compressed, and has room for any epoch: its times change with each recorded activity, and its epoch with
 * the end of all other sessions. A session that fits into its cookie must still fit then.
 */

const PLAIN = 0
/** Written by former versions. */
const ALL_DEFLATED = 1
const FIELDS_DEFLATED = 2

/** A shorter text gains little, and compressing it costs more than all the rest. In bytes. */
const COMPRESSED_FROM = 1_024

/** Of a time in ms since the epoch, until the year 2286. The first epoch of a user is 0. */
const EPOCH_DIGITS = 13

/** How much the head may add to the fields, in bytes. */
const MOST_HEAD_BYTES = 4_096

const NAME = /^[\w .:/-]+$/

/** Packs and unpacks sessions of at most `maxBytes` of JSON. */
export class Payloads {
  readonly #mostBytes: number
  /** The texts that were packed before: the size of a session is asked for first, and its cookie is made later. */
  readonly #packed = new WeakMap<Carried, Buffer>()

  constructor (maxBytes: number) {
    this.#mostBytes = maxBytes + MOST_HEAD_BYTES
  }

  /** @throws SessionTooLargeError */
  pack (session: Carried): Buffer {
    let packed = this.#packed.get(session)
    if (packed === undefined) {
      packed = this.#compressed(headOf(session), fieldsOf(session))
      this.#packed.set(session, packed)
    }
    return packed
  }

  /** Returns null if the bytes are not a session. A text that is too long is not unpacked. */
  unpack (packed: Buffer): Carried | null {
    const text = packed.subarray(1)
    try {
      switch (packed[0]) {
        case PLAIN: return sessionIn(text.toString())
        case ALL_DEFLATED: return sessionIn(this.#inflated(text))
        case FIELDS_DEFLATED: {
          const start = text.indexOf('\n') + 1
          return sessionIn(text.toString('utf8', 0, start) + this.#inflated(text.subarray(start)))
        }
        default: return null
      }
    } catch {
      return null
    }
  }

  #compressed (head: string, fields: string): Buffer {
    const text = Buffer.from(head + fields)
    assertSize(text.length, this.#mostBytes)
    if (text.length >= COMPRESSED_FROM) {
      const short = Buffer.concat([Buffer.of(FIELDS_DEFLATED), Buffer.from(`${head}\n`), deflateRawSync(fields.slice(1), { level: 6 })])
      if (short.length <= text.length) return short
    }
    return Buffer.concat([Buffer.of(PLAIN), text])
  }

  #inflated (bytes: Buffer): string {
    return inflateRawSync(bytes, { maxOutputLength: this.#mostBytes }).toString()
  }
}

function headOf ({ id, endsAt, epoch, record: { createdAt, seenAt, expiresAt, permanent, user } }: Carried): string {
  return `${JSON.stringify([id, createdAt, seenAt, expiresAt, endsAt, permanent, user]).slice(0, -1)},${String(epoch).padStart(EPOCH_DIGITS)}]`
}

function fieldsOf ({ record: { fields } }: Carried): string {
  let text = ''
  for (const name in fields) text += `\n${NAME.test(name) ? name : JSON.stringify(name)}\n${oneLine(fields[name] as string)}`
  return text
}

/** Formatted JSON has line breaks, which mean nothing. */
function oneLine (json: string): string {
  return json.includes('\n') ? JSON.stringify(JSON.parse(json)) : json
}

function sessionIn (text: string): Carried | null {
  const [head = '', ...lines] = text.split('\n')
  const parsed: unknown = JSON.parse(head)
  if (!Array.isArray(parsed) || lines.length % 2 !== 0) return null
  const [id, createdAt, seenAt, expiresAt, endsAt, permanent, user, epoch] = parsed as unknown[]
  if (typeof id !== 'string' || !isTime(createdAt) || !isTime(seenAt) || !isTime(expiresAt) || !isTime(endsAt) || !isTime(epoch)) return null
  if (typeof permanent !== 'boolean' || (user !== null && typeof user !== 'string')) return null
  const fields: Record<string, string> = {}
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i] as string
    fields[NAME.test(name) ? name : String(JSON.parse(name))] = lines[i + 1] as string
  }
  return { id, endsAt, epoch, record: { createdAt, seenAt, expiresAt, permanent, user, fields } }
}
