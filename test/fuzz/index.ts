import { parseArgs } from 'node:util'
import { integer, readCommandLine } from '../../bench/command-line.js'
import { newSeed } from '../inputs/random.js'
import { scope } from '../processes/scope.js'
import { describe, fuzz } from './fuzz.js'

const { requests, seed, connection } = readCommandLine('npm run fuzz -- [--requests 1000000] [--seed N] [--connection N]', () => {
  const { values } = parseArgs({ options: { requests: { type: 'string', default: '1000000' }, seed: { type: 'string', default: newSeed() }, connection: { type: 'string' } } })
  return {
    requests: integer('--requests', values.requests),
    seed: integer('--seed', values.seed, 0),
    connection: values.connection === undefined ? undefined : integer('--connection', values.connection, 0)
  }
})
process.stdout.write(`${requests} requests, seed ${seed}\n`)
await scope(async (lifetime) => {
  const report = await fuzz(lifetime, {
    requests,
    seed,
    ...connection !== undefined && { connection },
    onProgress (requests) { process.stdout.write(`${requests}\n`) }
  })
  process.stdout.write(`${[describe(report), ...report.faults].join('\n')}\n`)
  if (report.faults.length > 0) {
    process.stdout.write(`seed ${seed}\n`)
    process.exitCode = 1
  }
})
