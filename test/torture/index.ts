import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { describe } from './describe.js'
import { torture } from './torture.js'

// npm run torture [-- rounds [--seed n] [--seconds n]]

const { values, positionals: [rounds = '200'] } = parseArgs({ allowPositionals: true, options: { seed: { type: 'string' }, seconds: { type: 'string', default: 'Infinity' } } })
const seed = Number(values.seed ?? Date.now() % 2 ** 32)
const folder = mkdtempSync(join(tmpdir(), 'hatcheck-torture-'))
process.stdout.write(`up to ${rounds} rounds, seed ${seed}\n`)
const report = await torture({
  rounds: Number(rounds),
  secondsAtMost: Number(values.seconds),
  seed,
  folder,
  onRound (round) { if (round % 100 === 0) process.stdout.write(`${round}\n`) }
})
process.stdout.write(`${describe(report)}\n`)
if (report.faults.length > 0) {
  process.stdout.write(`${report.faults.join('\n')}\nseed ${seed}; the data is in ${folder}\n`)
  process.exitCode = 1
} else {
  rmSync(folder, { recursive: true })
}
