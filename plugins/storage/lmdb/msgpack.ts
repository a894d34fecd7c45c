/**
 * Whether bytes are one whole value of MessagePack: nil, a boolean, a number, text, or a list of these. It decodes nothing,
 * and its work is bounded by the number of bytes. A decoder that trusts a damaged length can be busy for seconds with a
 * list of billions.
 *
 * Source: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function isFlatMsgpack (bytes: Buffer, length = bytes.length): boolean {
  let [at, missing] = listAt(bytes, length)
  // A value takes at least one byte.
  for (; missing > 0 && at < length; missing--) {
    const type = bytes[at++] as number
    if ((type & 0xe0) === SHORT_TEXT) {
      at += type & 0x1f
    } else if (type >= TEXT_8 && type <= TEXT_32) {
      const lengthBytes = 1 << (type - TEXT_8)
      if (at + lengthBytes > length) return false
      at += lengthBytes + bytes.readUIntBE(at, lengthBytes)
    } else if (type > LAST_SHORT_NUMBER && type < FIRST_NEGATIVE) {
      const size = SIZES.get(type)
      if (size === undefined) return false
      at += size
    }
  }
  return missing === 0 && at === length
}

const LAST_SHORT_NUMBER = 0x7f
const FIRST_NEGATIVE = 0xe0
const SHORT_LIST = 0x90
const SHORT_TEXT = 0xa0
const LIST_16 = 0xdc
const LIST_32 = 0xdd
const TEXT_8 = 0xd9
const TEXT_32 = 0xdb
/** How many bytes follow the type: nil, false, true, floats, unsigned and signed integers. */
const SIZES = new Map([
  [0xc0, 0], [0xc2, 0], [0xc3, 0], [0xca, 4], [0xcb, 8],
  [0xcc, 1], [0xcd, 2], [0xce, 4], [0xcf, 8], [0xd0, 1], [0xd1, 2], [0xd2, 4], [0xd3, 8]
])

/** Returns where the first value is, and how many values there are. */
function listAt (bytes: Buffer, length: number): [at: number, count: number] {
  const type = bytes[0] as number
  if (length > 0 && (type & 0xf0) === SHORT_LIST) return [1, type & 0x0f]
  if (length >= 3 && type === LIST_16) return [3, bytes.readUInt16BE(1)]
  if (length >= 5 && type === LIST_32) return [5, bytes.readUInt32BE(1)]
  return [0, 1]
}
