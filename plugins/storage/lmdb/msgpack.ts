/** A value of MessagePack without parts. */
export type Value = null | boolean | number | string
/** A value, or a list of values. */
export type Flat = Value | readonly Value[]

const NIL = 0xc0
const FALSE = 0xc2
const TRUE = 0xc3
const FLOAT_64 = 0xcb
const UINT_8 = 0xcc
const UINT_16 = 0xcd
const UINT_32 = 0xce
const LAST_SHORT_NUMBER = 0x7f
const FIRST_NEGATIVE = 0xe0
const SHORT_LIST = 0x90
const MOST_IN_SHORT_LIST = 0x0f
const LIST_16 = 0xdc
const LIST_32 = 0xdd
const SHORT_TEXT = 0xa0
const LONGEST_SHORT_TEXT = 0x1f
const TEXT_8 = 0xd9
const TEXT_16 = 0xda
const TEXT_32 = 0xdb

/** The longest number, and the longest head of a list or a text. */
const MOST_BYTES = 9
/** Where values are encoded, before they are copied. */
let target = Buffer.allocUnsafe(4_096)

/**
 * Encodes a value or a list.
 *
 * Source: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function encodeFlat (value: Flat): Buffer {
  let at = 0
  if (isList(value)) {
    if (value.length <= MOST_IN_SHORT_LIST) target[at++] = SHORT_LIST | value.length
    else at = writeSize(value.length, at, LIST_16, LIST_32)
    for (const item of value) at = writeValue(item, at)
  } else {
    at = writeValue(value, at)
  }
  return Buffer.from(target.subarray(0, at))
}

function isList (value: Flat): value is readonly Value[] {
  return typeof value === 'object' && value !== null
}

function writeValue (value: Value, at: number): number {
  if (typeof value === 'string') return writeText(value, at)
  makeRoom(at + MOST_BYTES)
  if (typeof value !== 'number') {
    target[at] = value === null ? NIL : value ? TRUE : FALSE
    return at + 1
  }
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
    target[at] = FLOAT_64
    return target.writeDoubleBE(value, at + 1)
  }
  if (value > 0xff) return writeSize(value, at, UINT_16, UINT_32)
  if (value > LAST_SHORT_NUMBER) target[at++] = UINT_8
  target[at] = value
  return at + 1
}

function writeText (text: string, at: number): number {
  makeRoom(at + MOST_BYTES + 3 * text.length)
  if (text.length <= LONGEST_SHORT_TEXT) {
    // Most names and many texts are short and plain. A call into Node costs more than this.
    let i = 0
    for (let code; i < text.length && (code = text.charCodeAt(i)) < 0x80;) target[at + ++i] = code
    if (i === text.length) {
      target[at] = SHORT_TEXT | i
      return at + 1 + i
    }
  }
  const size = Buffer.byteLength(text)
  if (size <= LONGEST_SHORT_TEXT) {
    target[at++] = SHORT_TEXT | size
  } else if (size <= 0xff) {
    target[at++] = TEXT_8
    target[at++] = size
  } else {
    at = writeSize(size, at, TEXT_16, TEXT_32)
  }
  return at + target.write(text, at, size === text.length ? 'latin1' : 'utf8')
}

function writeSize (size: number, at: number, typeOf16: number, typeOf32: number): number {
  const is16 = size <= 0xffff
  target[at] = is16 ? typeOf16 : typeOf32
  return is16 ? target.writeUInt16BE(size, at + 1) : target.writeUInt32BE(size, at + 1)
}

function makeRoom (size: number): void {
  if (size <= target.length) return
  const larger = Buffer.allocUnsafe(2 * size)
  target.copy(larger)
  target = larger
}

/**
 * Decodes bytes that are one whole value, or one whole list of values. Returns undefined if they are not. Its work is bounded
 * by the number of bytes: a decoder that trusts a damaged length can be busy for seconds with a list of billions.
 */
export function decodeFlat (bytes: Buffer): Flat | undefined {
  const { length } = bytes
  let [at, missing, isList] = headOf(bytes)
  const values: Value[] = []
  // A value takes at least one byte.
  for (; missing > 0 && at < length; missing--) {
    const type = bytes[at++] as number
    if (type <= LAST_SHORT_NUMBER) {
      values.push(type)
    } else if (type >= FIRST_NEGATIVE) {
      values.push(type - 0x100)
    } else if ((type & 0xe0) === SHORT_TEXT || (type >= TEXT_8 && type <= TEXT_32)) {
      const bytesOfSize = type < TEXT_8 ? 0 : 1 << (type - TEXT_8)
      if (at + bytesOfSize > length) return undefined
      const from = at + bytesOfSize
      const to = from + (bytesOfSize === 0 ? type & LONGEST_SHORT_TEXT : bytes.readUIntBE(at, bytesOfSize))
      if (to > length) return undefined
      values.push(bytes.toString('utf8', from, to))
      at = to
    } else {
      const other = OTHERS.get(type)
      if (other === undefined || at + other.size > length) return undefined
      values.push(other.read(bytes, at))
      at += other.size
    }
  }
  if (missing > 0 || at !== length) return undefined
  return isList ? values : values[0]
}

/** Returns where the first value is, how many there are, and whether they are a list. */
function headOf (bytes: Buffer): [at: number, count: number, isList: boolean] {
  const { length } = bytes
  const type = bytes[0] as number
  if (length > 0 && (type & 0xf0) === SHORT_LIST) return [1, type & MOST_IN_SHORT_LIST, true]
  if (length >= 3 && type === LIST_16) return [3, bytes.readUInt16BE(1), true]
  if (length >= 5 && type === LIST_32) return [5, bytes.readUInt32BE(1), true]
  return [0, 1, false]
}

/** How many bytes follow the type of a value, and how they are read. */
const OTHERS = new Map<number, { size: number, read: (bytes: Buffer, at: number) => Value }>([
  [NIL, { size: 0, read: () => null }],
  [FALSE, { size: 0, read: () => false }],
  [TRUE, { size: 0, read: () => true }],
  [0xca, { size: 4, read: (bytes, at) => bytes.readFloatBE(at) }],
  [FLOAT_64, { size: 8, read: (bytes, at) => bytes.readDoubleBE(at) }],
  [UINT_8, { size: 1, read: (bytes, at) => bytes.readUInt8(at) }],
  [UINT_16, { size: 2, read: (bytes, at) => bytes.readUInt16BE(at) }],
  [UINT_32, { size: 4, read: (bytes, at) => bytes.readUInt32BE(at) }],
  [0xcf, { size: 8, read: (bytes, at) => Number(bytes.readBigUInt64BE(at)) }],
  [0xd0, { size: 1, read: (bytes, at) => bytes.readInt8(at) }],
  [0xd1, { size: 2, read: (bytes, at) => bytes.readInt16BE(at) }],
  [0xd2, { size: 4, read: (bytes, at) => bytes.readInt32BE(at) }],
  [0xd3, { size: 8, read: (bytes, at) => Number(bytes.readBigInt64BE(at)) }]
])
