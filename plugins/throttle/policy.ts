/** How many tries may fail, and how long the next one then has to wait. */
export interface Policy {
  /** How many failures cost nothing. From the next one on there is a wait: 1 s, and twice as long with each further one. */
  readonly free: number
  /** The time in ms after which one failure is forgiven. In the long run, tries cannot fail more often than that. */
  readonly forgiveMs: number
  /** The longest wait, in ms. */
  readonly longestMs: number
}

/** The failures of one account, address or device. */
export interface Counter {
  /** How many there were, less what is forgiven, at the time `at`. Not always a whole number. */
  readonly level: number
  /** When the last one was, in ms since the epoch. */
  readonly at: number
  /** When all are forgiven, in ms since the epoch. */
  readonly expiresAt: number
}

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

const person = { free: 5, forgiveMs: 15 * MINUTE, longestMs: HOUR } as const

/** An attacker who keeps at it gets about four guesses an hour at an account, and sixty an hour from an address. */
export const policies = {
  /** By the name, whether there is such an account or not. */
  account: person,
  /** A browser that has logged in to the account before. */
  device: person,
  /** An IPv4 address, or the /64 network of an IPv6 address: many people may be behind it. */
  address: { free: 50, forgiveMs: MINUTE, longestMs: HOUR },
  /** Everybody who comes with no known device. A wait here is one for all of them, so it is short. */
  global: { free: 1_000, forgiveMs: 100, longestMs: MINUTE }
} as const satisfies Record<string, Policy>

/** How long the next try has to wait from now on, in ms; 0 if it need not. */
export function waitOf (counter: Counter | null, { free, longestMs }: Policy, now: number): number {
  if (counter === null) return 0
  const over = Math.ceil(counter.level) - free
  // A time so far ahead is that of a clock that was wrong: the wait must not last as long as that.
  if (over <= 0 || counter.at - now > longestMs) return 0
  return Math.max(0, counter.at + Math.min(SECOND * 2 ** (over - 1), longestMs) - now)
}

/** The counter with one failure more. */
export function counted (counter: Counter | null, { forgiveMs }: Policy, now: number): Counter {
  const { level, at } = counter ?? { level: 0, at: now }
  const raised = Math.max(0, level - Math.max(0, now - at) / forgiveMs) + 1
  return { level: raised, at: now, expiresAt: now + Math.ceil(raised * forgiveMs) }
}

/** The counter without its last failure, which was none. */
export function uncounted (counter: Counter): Counter {
  return { ...counter, level: Math.max(0, counter.level - 1) }
}
