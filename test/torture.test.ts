import tap, { test } from 'tap'
import { describe } from './torture/describe.js'
import { torture } from './torture/torture.js'

tap.setTimeout(300_000)

/** `npm run test:long` kills 200 times. */
const ROUNDS = 4

test('what was acknowledged holds, at whatever moment the process is killed', async (t) => {
  const seed = Date.now() % 2 ** 32
  const report = await torture({ rounds: ROUNDS, secondsAtMost: 60, seed, folder: t.testdir() })
  t.same(report.faults, [], `seed ${seed}: npm run torture -- ${report.rounds} --seed ${seed}`)
  t.ok(report.rounds >= ROUNDS / 2 && report.checks > 8 * ROUNDS, 'there was something to check')
  for (const line of describe(report).split('\n')) t.comment(line)
})
