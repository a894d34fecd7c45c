import tap, { test } from 'tap'
import { exchange, needsFlask, startFlask } from '../programs/flask.js'

tap.setTimeout(600_000)

const SESSIONS = 10_000

test(`${SESSIONS} generated sessions pass between Flask and hatcheck, byte for byte`, needsFlask(), async (t) => {
  await exchange(t, await startFlask(t), Array.from({ length: SESSIONS }, (_, index) => 1_000 + index))
})
