import { timingSafeEqual } from 'node:crypto'

/**
 * Returns which of the MACs is the presented one, or -1. All of them are compared, in a time that tells nothing of where they
 * differ. They are texts and not bytes, since decoding ignores bits of the last character: only the canonical spelling counts.
 */
export function indexOfMac (presented: string, macs: readonly string[]): number {
  const bytes = Buffer.from(presented)
  let match = -1
  macs.forEach((mac, index) => {
    const expected = Buffer.from(mac)
    if (expected.length === bytes.length && timingSafeEqual(expected, bytes) && match === -1) match = index
  })
  return match
}
