/** How often the clock ticks, and how much it counts of one tick at most, in ms. */
const TICK_MS = 5
const LONGEST_TICK_MS = 25
/** A start of a service takes half a second, and a hundred times that on a machine that is busy with much else. */
const LONGEST_WAIT_MS = 60_000

// Tests replace these for a while.
const now = performance.now.bind(performance)
const { clearInterval, setInterval, setTimeout } = globalThis
let time = 0
let last = now()
let ticking: NodeJS.Timeout | undefined

/**
 * Returns the time in ms during which the event loop of this process was on time. A machine can be so busy that the process does not
 * run for a second. This clock stands still then, so that a limit for what the process waits for holds on such a machine as well.
 */
export function loopTime (): number {
  ticking ??= setInterval(tick, TICK_MS).unref()
  tick()
  return time
}

/** Waits for this time, by the clock of {@link loopTime}. */
export async function pause (ms: number): Promise<void> {
  const end = loopTime() + ms
  for (let left = ms; left > 0; left = end - loopTime()) await new Promise((resolve) => { setTimeout(resolve, left) })
}

/** Waits until a condition holds, and fails if it does not within this time, by the clock of {@link loopTime}. */
export async function until (what: string, holds: () => boolean | Promise<boolean>, withinMs = LONGEST_WAIT_MS): Promise<void> {
  const end = loopTime() + withinMs
  const over = new AbortController()
  let looking: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_resolve, reject) => {
    // Also while the condition waits for something.
    looking = setInterval(() => { if (loopTime() >= end) reject(new Error(`not within ${withinMs} ms: ${what}`)) }, TICK_MS)
  })
  const look = async (): Promise<void> => {
    while (!over.signal.aborted && !await holds()) await new Promise((resolve) => { setTimeout(resolve, TICK_MS) })
  }
  try {
    await Promise.race([look(), tooLate])
  } finally {
    // Otherwise a test that has failed would go on asking, and its file would never end.
    over.abort()
    clearInterval(looking)
  }
}

/** Returns the longest time for which the event loop did not turn while the work went on, in ms. */
export async function longestDelay (work: () => Promise<void>): Promise<number> {
  let [latest, longest] = [now(), 0]
  const look = (): void => {
    const at = now()
    longest = Math.max(longest, at - latest)
    latest = at
  }
  const looking = setInterval(look, TICK_MS)
  await work().finally(() => { clearInterval(looking) })
  look()
  return longest
}

function tick (): void {
  const at = now()
  time += Math.min(at - last, LONGEST_TICK_MS)
  last = at
}
