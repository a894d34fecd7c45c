/** How many logins may fail, and how long the next one must then wait. */
export interface Policy {
  /** How many failures have no consequence. The next one causes a wait, and each further one doubles it. */
  readonly free: number
  /** The time after which one failure is forgiven, in ms. In the long run, logins cannot fail more often. */
  readonly forgiveMs: number
  /** The longest wait, in ms. */
  readonly longestMs: number
  /**
   * The first wait, in ms.
   *
   * @default 1_000
   */
  readonly firstMs?: number
}

/** The failures of one account, network or device. */
export interface Counter {
  /** The number of failures less the forgiven ones, at the time `at`. Not always a whole number. */
  readonly level: number
  /** The time of the last failure, in ms since the epoch. */
  readonly at: number
  /** The time of the failure before it. Undefined if there was none, or if an older version counted it. */
  readonly before?: number | undefined
  /** When all failures are forgiven, in ms since the epoch. */
  readonly expiresAt: number
}

/** The first wait of a policy that sets none, in ms. */
export const FIRST_WAIT_MS = 1_000

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const person = { free: 5, forgiveMs: 15 * MINUTE, longestMs: HOUR } as const
/** More than one device can reach alone, so that a stolen device does not slow down the others. */
const together = { free: 20, forgiveMs: 5 * MINUTE, longestMs: 5 * MINUTE } as const
/** A memory rather than a wait: a network is known as long as this counter makes it wait. */
const known = { free: 0, forgiveMs: 30 * DAY, firstMs: 30 * DAY, longestMs: 30 * DAY } as const

/** What is counted, and for whom. docs/admission.md describes the consequences. */
export const policies = {
  /** By name, whether the account exists or not: logins of unknown devices. */
  account: person,
  /** Of an account: logins from calm networks, once unknown devices must wait. */
  calm: { free: 10, forgiveMs: 15 * MINUTE, longestMs: HOUR },
  /** A browser that has logged in to the account before. */
  device: person,
  /** All such browsers of an account. */
  devices: together,
  /** For an account, a network from which it has logged in before. */
  place: person,
  /** All such networks of an account. */
  places: together,
  /** An IPv4 address, or the /64 network of an IPv6 address: many people may be behind it. */
  address: { free: 50, forgiveMs: MINUTE, longestMs: HOUR },
  /** The /56 of an IPv6 address. */
  site: { free: 100, forgiveMs: 30 * SECOND, longestMs: 30 * MINUTE },
  /** The /48 of an IPv6 address. */
  block: { free: 200, forgiveMs: 15 * SECOND, longestMs: 30 * MINUTE },
  /** All networks that are neither known nor calm together. A wait here applies to all of them, so it is short. */
  global: { free: 1_000, forgiveMs: 100, longestMs: MINUTE },
  /** An address or /64 that must wait here is not calm. */
  unrest: { free: 1, forgiveMs: 12 * HOUR, firstMs: 12 * HOUR, longestMs: 12 * HOUR },
  /** A /24 or /48 that must wait here is not calm, nor is any network in it. */
  unrestAround: { free: 10, forgiveMs: HOUR, firstMs: HOUR, longestMs: HOUR },
  /** A network from which an account has logged in. */
  knownPlace: known,
  /** A network from which any account has logged in. */
  knownNetwork: known
} as const satisfies Record<string, Policy>

/** Returns how long the next login must wait, in ms; 0 if it need not. */
export function waitOf (counter: Counter | null, { free, firstMs = FIRST_WAIT_MS, longestMs }: Policy, now: number): number {
  if (counter === null) return 0
  const over = Math.ceil(counter.level) - free
  // A time that far ahead comes from a wrong clock: the wait must not last that long.
  if (over <= 0 || counter.at - now > longestMs) return 0
  return Math.max(0, counter.at + Math.min(firstMs * 2 ** (over - 1), longestMs) - now)
}

/** Returns the counter with one more failure. */
export function counted (counter: Counter | null, { forgiveMs }: Policy, now: number): Counter {
  const { level, at } = counter ?? { level: 0, at: now }
  const raised = Math.max(0, level - Math.max(0, now - at) / forgiveMs) + 1
  return { level: raised, at: now, ...counter !== null && { before: at }, expiresAt: now + Math.ceil(raised * forgiveMs) }
}

/** Returns the counter without its last failure, which turned out to be a success. Nobody can tell from it that there was one. */
export function uncounted ({ level, at, before = at, expiresAt }: Counter, { forgiveMs }: Policy): Counter {
  const rest = Math.max(0, level - 1)
  return { level: rest === 0 ? 0 : rest + Math.max(0, at - before) / forgiveMs, at: Math.min(at, before), expiresAt }
}
