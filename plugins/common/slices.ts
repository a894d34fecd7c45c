import { setImmediate } from 'node:timers/promises'

/** How long one slice of a long task may hold the event loop, in ms. */
export const SLICE_MS = 2

/** Sorting this many items takes less than a slice. */
const SORTED_AT_ONCE = 500

/**
 * Visits every item, and lets the event loop turn between slices of 2 ms. A set may change meanwhile: added items are
 * visited as well.
 *
 * @param beforeNext called before every slice but the first.
 */
export async function eachInSlices<T> (items: Iterable<T>, visit: (item: T) => void, beforeNext?: () => void): Promise<void> {
  let until = performance.now() + SLICE_MS
  for (const item of items) {
    if (performance.now() >= until) {
      await setImmediate()
      beforeNext?.()
      until = performance.now() + SLICE_MS
    }
    visit(item)
  }
}

/** Sorts as `toSorted` does, and lets the event loop turn in between if there are many items. */
export async function sortedInSlices<T> (items: readonly T[], compare: (a: T, b: T) => number): Promise<T[]> {
  if (items.length <= SORTED_AT_ONCE) return items.toSorted(compare)
  const middle = items.length >> 1
  const first = await sortedInSlices(items.slice(0, middle), compare)
  const second = await sortedInSlices(items.slice(middle), compare)
  await setImmediate()
  return merged(first, second, compare)
}

/** Merges two sorted lists. Of equal items, those of the first list come first. */
function merged<T> (first: readonly T[], second: readonly T[], compare: (a: T, b: T) => number): T[] {
  const items: T[] = []
  let taken = 0
  for (const item of first) {
    while (taken < second.length && compare(second[taken] as T, item) < 0) items.push(second[taken++] as T)
    items.push(item)
  }
  return items.concat(second.slice(taken))
}
