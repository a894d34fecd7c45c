/** The latest time that a `Date` can hold, in ms since the epoch. Source: ECMA-262, "Time Values and Time Range". */
export const LATEST_TIME = 8.64e15

/** Tells whether a value read from a store is a time in ms since the epoch. A number that no `Date` can hold would fail where it is shown. */
export function isTime (value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= LATEST_TIME
}
