import tap, { test } from 'tap'
import { describe, fuzz } from '../fuzz/fuzz.js'
import { newSeed } from '../inputs/random.js'

tap.setTimeout(200_000)

/** `npm run fuzz` sends a million. */
const REQUESTS = 5_000

for (const [what, seed] of [['always the same', 1], ['others each time', Number(newSeed())]] as const) {
  test(`requests over raw sockets, ${what}: none hangs, gets a 5xx, ends the process or gets another's answer`, async (t) => {
    const report = await fuzz(t, { requests: REQUESTS, seed })
    t.strictSame(report.faults, [], `npm run fuzz -- --seed ${seed}`)
    t.comment(`seed ${seed}\n${describe(report)}`)
  })
}
