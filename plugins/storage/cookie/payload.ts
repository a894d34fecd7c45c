import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { isTime } from '../../common/is-time.js'
import type { Carried } from '../../store/carried.js'
import { SessionTooLargeError } from '../../store/errors.js'

/*
 * The content that is sealed into a cookie: one byte that says how the text is packed, then the text. Its first line is the head; two
 * lines, the name and the JSON of the value, are a field. JSON has no line break outside of its formatting, so a line break
 * ends each of them, and the text of the fields is as long as `sizeOf` says.
 */

const PLAIN = 0
const DEFLATED = 1

/** A shorter text gains little, and compressing it costs more than all the rest. In bytes. */
const COMPRESSED_FROM = 1_024

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
      packed = this.#compressed(Buffer.from(textOf(session)))
      this.#packed.set(session, packed)
    }
    return packed
  }

  /** Returns null if the bytes are not a session. A text that is too long is not unpacked. */
  unpack (packed: Buffer): Carried | null {
    try {
      const text = packed[0] === DEFLATED ? inflateRawSync(packed.subarray(1), { maxOutputLength: this.#mostBytes }) : packed.subarray(1)
      return packed[0] === DEFLATED || packed[0] === PLAIN ? sessionIn(text.toString()) : null
    } catch {
      return null
    }
  }

  #compressed (text: Buffer): Buffer {
    if (text.length > this.#mostBytes) throw new SessionTooLargeError(text.length, this.#mostBytes)
    const short = text.length < COMPRESSED_FROM ? text : deflateRawSync(text, { level: 6 })
    return short.length < text.length ? Buffer.concat([Buffer.of(DEFLATED), short]) : Buffer.concat([Buffer.of(PLAIN), text])
  }
}

function textOf ({ id, endsAt, epoch, record }: Carried): string {
  const { createdAt, seenAt, expiresAt, permanent, user, fields } = record
  let text = JSON.stringify([id, createdAt, seenAt, expiresAt, endsAt, permanent, user, epoch])
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
