import { parseArgs } from 'node:util'
import { scope } from '../scope.js'
import { describe, soak } from './soak.js'

// npm run soak [-- --minutes n] [--rate n] [--seed n]

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' }, rate: { type: 'string', default: '100' }, seed: { type: 'string' } } })
const seed = Number(values.seed ?? Date.now() % 2 ** 32)
process.stdout.write(`${values.minutes} minutes at ${values.rate} requests a second each, seed ${seed}\n`)
await scope(async (lifetime) => {
  const reports = await soak(lifetime, {
    seconds: 60 * Number(values.minutes),
    rate: Number(values.rate),
    seed,
    onProgress (line) { process.stdout.write(`${line}\n`) }
  })
  for (const report of reports) process.stdout.write(`${describe(report)}\n`)
  if (reports.some(({ faults }) => faults.length > 0)) process.exitCode = 1
})
