/** The longest key of a session, in characters. */
export const LONGEST_KEY = 256

/** Tells whether a value read from a store can be the key of a session. Such keys are plain ASCII; a damaged one can be anything. */
export function isStoreKey (key: unknown): key is string {
  return typeof key === 'string' && key.length <= LONGEST_KEY && /^[ -~]+$/.test(key)
}

/** Returns the key under which a session continues, as its tombstone has it; null if there is none, or if it is damaged. */
export function soundNextKey (nextKey: unknown, key: string): string | null {
  // One that leads to itself would be followed forever.
  return isStoreKey(nextKey) && nextKey !== key ? nextKey : null
}
