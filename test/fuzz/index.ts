import { parseArgs } from 'node:util'
import { scope } from '../scope.js'
import { describe, fuzz } from './fuzz.js'

// npm run fuzz [-- --requests n] [--seed n] [--connection n]

const { values } = parseArgs({ options: { requests: { type: 'string', default: '1000000' }, seed: { type: 'string' }, connection: { type: 'string' } } })
const seed = Number(values.seed ?? Date.now() % 2 ** 32)
process.stdout.write(`${values.requests} requests, seed ${seed}\n`)
await scope(async (lifetime) => {
  const report = await fuzz(lifetime, {
    requests: Number(values.requests),
    seed,
    ...values.connection !== undefined && { connection: Number(values.connection) },
    onProgress (requests) { process.stdout.write(`${requests}\n`) }
  })
  process.stdout.write(`${[describe(report), ...report.faults].join('\n')}\n`)
  if (report.faults.length > 0) {
    process.stdout.write(`seed ${seed}\n`)
    process.exitCode = 1
  }
})
