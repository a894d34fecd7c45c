import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { integer, readCommandLine } from '../../bench/command-line.js'
import { newSeed } from '../inputs/random.js'
import { describe } from './describe.js'
import { torture } from './torture.js'

const { rounds, seed, seconds } = readCommandLine('npm run torture -- [ROUNDS (200)] [--seed N] [--seconds N]', () => {
  const { values, positionals: [rounds = '200'] } = parseArgs({ allowPositionals: true, options: { seed: { type: 'string', default: newSeed() }, seconds: { type: 'string' } } })
  return {
    rounds: integer('ROUNDS', rounds),
    seed: integer('--seed', values.seed, 0),
    seconds: values.seconds === undefined ? Infinity : integer('--seconds', values.seconds)
  }
})
const folder = mkdtempSync(join(tmpdir(), 'hatcheck-torture-'))
process.stdout.write(`up to ${rounds} rounds, seed ${seed}\n`)
const report = await torture({
  rounds,
  secondsAtMost: seconds,
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
