/** How often the clock ticks, and how much it counts of one tick at most, in ms. */
const TICK_MS = 5
const LONGEST_TICK_MS = 25

// Tests replace these for a while.
const now = performance.now.bind(performance)
const { setInterval, setTimeout } = globalThis
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
