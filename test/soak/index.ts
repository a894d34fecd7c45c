import { parseArgs } from 'node:util'
import { integer, readCommandLine } from '../../bench/command-line.js'
import { newSeed } from '../inputs/random.js'
import { scope } from '../processes/scope.js'
import { describe, soak } from './soak.js'

const { minutes, rate, seed } = readCommandLine('npm run soak -- [--minutes 30] [--rate 100] [--seed N]', () => {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' }, rate: { type: 'string', default: '100' }, seed: { type: 'string', default: newSeed() } } })
  return { minutes: integer('--minutes', values.minutes), rate: integer('--rate', values.rate), seed: integer('--seed', values.seed, 0) }
})
process.stdout.write(`${minutes} minutes at ${rate} requests a second each, seed ${seed}\n`)
await scope(async (lifetime) => {
  const reports = await soak(lifetime, {
    seconds: 60 * minutes,
    rate,
    seed,
    onProgress (line) { process.stdout.write(`${line}\n`) }
  })
  for (const report of reports) process.stdout.write(`${describe(report)}\n`)
  if (reports.some(({ faults }) => faults.length > 0)) process.exitCode = 1
})
