import { inspect } from 'node:util'
import { TestingError } from './errors.js'

const MILLISECONDS = { milliseconds: 1, seconds: 1_000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 } as const

/** A time span. Its parts add up. */
export type Span = { readonly [Unit in keyof typeof MILLISECONDS]?: number }

/** A clock that moves only when a test advances it. */
export interface TestClock {
  /** Returns the time in ms since the epoch. Pass it to hatcheck as the option `now`. */
  now (): number
  /** Moves the clock. A negative span sets it back. @throws TestingError if the span has an unknown unit, or none */
  advance (span: Span): void
}

/**
 * Makes a clock that moves only when a test advances it.
 *
 * @param start the time at which it begins
 * @default start: now
 * @throws TestingError if `start` is not a time.
 * @example
 * const clock = testClock()
 * await app.register(hatcheck, { secretKey, sessionStore: 'memory:', now: clock.now })
 * clock.advance({ hours: 1 })
 */
export function testClock (start: Date | number = Date.now()): TestClock {
  let time = Number(start)
  if (!Number.isFinite(time)) throw new TestingError(`testClock needs a Date, or a time in ms since the epoch; got ${inspect(start)}.`)
  return {
    now: () => time,
    advance (span) { time += millisecondsOf(span) }
  }
}

function millisecondsOf (span: Span): number {
  const parts = Object.entries(span ?? {}).map(([unit, amount]) => isUnit(unit) && typeof amount === 'number' ? amount * MILLISECONDS[unit] : NaN)
  if (parts.length === 0 || !parts.every(Number.isFinite)) {
    throw new TestingError(`clock.advance needs numbers of ${Object.keys(MILLISECONDS).join(', ')}, such as { hours: 1 }; got ${inspect(span)}.`)
  }
  return parts.reduce((sum, part) => sum + part, 0)
}

function isUnit (text: string): text is keyof typeof MILLISECONDS {
  return Object.hasOwn(MILLISECONDS, text)
}
