/** How many keys Redis is asked for at once. */
export const BATCH = 100

/** Splits a list, so that a long one does not fill the connection. */
export function * batchesOf<T> (items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += BATCH) yield items.slice(i, i + BATCH)
}
