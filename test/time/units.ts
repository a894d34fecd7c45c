/** Units of time, in ms. */
export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** Where the clocks of tests begin that do not follow the real one. */
export const START = 1_800_000_000_000
