/** The longest life that a session can be configured to have, in ms. */
export const LONGEST_LIFE_MS = 400 * 86_400_000
