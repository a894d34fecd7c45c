/** How many tries may fail, and how long the next one then has to wait. */
export interface Policy {
  /** How many failures cost nothing. From the next one on there is a wait, twice as long with each further one. */
  readonly free: number
  /** The time in ms after which one failure is forgiven. In the long run, tries cannot fail more often than that. */
  readonly forgiveMs: number
  /** The longest wait, in ms. */
  readonly longestMs: number
  /**
   * The first wait, in ms.
   * @default 1,000
   */
  readonly firstMs?: number
}

/** The failures of one account, network or device. */
export interface Counter {
  /** How many there were, less what is forgiven, at the time `at`. Not always a whole number. */
  readonly level: number
  /** When the last one was, in ms since the epoch. */
  readonly at: number
  /** When the one before it was; not set if it was the first, or counted by an older version. */
  readonly before?: number | undefined
  /** When all are forgiven, in ms since the epoch. */
  readonly expiresAt: number
}

export const FIRST_WAIT_MS = 1_000

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const person = { free: 5, forgiveMs: 15 * MINUTE, longestMs: HOUR } as const
/** More than one device can reach alone, so that one that was stolen does not hold up the others. */
const together = { free: 20, forgiveMs: 5 * MINUTE, longestMs: 5 * MINUTE } as const
/** Not a wait but a memory: a network is known as long as this counter makes it wait. */
const known = { free: 0, forgiveMs: 30 * DAY, firstMs: 30 * DAY, longestMs: 30 * DAY } as const

/** What is counted, and for whom. docs/admission.md says what follows from it. */
export const policies = {
  /** By the name, whether there is such an account or not: tries of strangers. */
  account: person,
  /** Of an account: tries from calm networks, once the strangers of the account have to wait. */
  calm: { free: 10, forgiveMs: 15 * MINUTE, longestMs: HOUR },
  /** A browser that has logged in to the account before. */
  device: person,
  /** All such browsers of an account. */
  devices: together,
  /** A network from which the account has logged in before, for this account. */
  place: person,
  /** All such networks of an account. */
  places: together,
  /** An IPv4 address, or the /64 network of an IPv6 address: many people may be behind it. */
  address: { free: 50, forgiveMs: MINUTE, longestMs: HOUR },
  /** The /56 of an IPv6 address. */
  site: { free: 100, forgiveMs: 30 * SECOND, longestMs: 30 * MINUTE },
  /** The /48 of an IPv6 address. */
  block: { free: 200, forgiveMs: 15 * SECOND, longestMs: 30 * MINUTE },
  /** Everybody who comes from a network that is neither known nor calm. A wait here is one for all of them, so it is short. */
  global: { free: 1_000, forgiveMs: 100, longestMs: MINUTE },
  /** An address or /64 that has to wait here is not calm. */
  unrest: { free: 1, forgiveMs: 12 * HOUR, firstMs: 12 * HOUR, longestMs: 12 * HOUR },
  /** A /24 or /48 that has to wait here is not calm, nor is any network in it. */
  unrestAround: { free: 10, forgiveMs: HOUR, firstMs: HOUR, longestMs: HOUR },
  /** A network from which an account has logged in. */
  knownPlace: known,
  /** A network from which any account has logged in. */
  knownNetwork: known
} as const satisfies Record<string, Policy>

/** How long the next try has to wait from now on, in ms; 0 if it need not. */
export function waitOf (counter: Counter | null, { free, firstMs = FIRST_WAIT_MS, longestMs }: Policy, now: number): number {
  if (counter === null) return 0
  const over = Math.ceil(counter.level) - free
  // A time so far ahead is that of a clock that was wrong: the wait must not last as long as that.
  if (over <= 0 || counter.at - now > longestMs) return 0
  return Math.max(0, counter.at + Math.min(firstMs * 2 ** (over - 1), longestMs) - now)
}

/** The counter with one failure more. */
export function counted (counter: Counter | null, { forgiveMs }: Policy, now: number): Counter {
  const { level, at } = counter ?? { level: 0, at: now }
  const raised = Math.max(0, level - Math.max(0, now - at) / forgiveMs) + 1
  return { level: raised, at: now, ...counter !== null && { before: at }, expiresAt: now + Math.ceil(raised * forgiveMs) }
}

/** The counter as it would be without its last failure, which was none: nobody can tell that there was a success. */
export function uncounted ({ level, at, before = at, expiresAt }: Counter, { forgiveMs }: Policy): Counter {
  const rest = Math.max(0, level - 1)
  return { level: rest === 0 ? 0 : rest + Math.max(0, at - before) / forgiveMs, at: Math.min(at, before), expiresAt }
}
