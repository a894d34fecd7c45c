import autocannon from 'autocannon'
import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '../../test/clients/client.js'
import { addressOf, childEnvironment } from '../../test/processes/child.js'
import type { Lifetime } from '../command.js'
import { headersOfHarry } from '../harry.js'
import { answerOf, endProcess } from '../processes.js'

/** The stores of the service that are measured, by the value of SESSION_STORE. */
export const SERVICES = { 'service, LMDB': 'lmdb:./data', 'service, memory': 'memory:' } as const

const REQUESTS = 1_000_000
const CONNECTIONS = 16

/** Loaded before the service: tells what the process has used since its beginning, whenever it is asked. */
const METER = 'process.on(\'message\', () => { process.send({ ...process.cpuUsage(), residentBytes: process.memoryUsage.rss() }) }).channel.unref()'

/** A start of the service. */
export interface StartSample {
  /** From the start of the process to the end of the first answer, in ms. */
  wallMs: number
  /** CPU time of the process until then, in ms, with that of Node itself. */
  cpuMs: number
  residentBytes: number
}

/** A service under load. */
export interface LoadSample {
  /** Resident memory after the requests. */
  residentBytes: number
  requests: number
  /** CPU time of one request, in µs. */
  requestMicros: number
}

interface Usage {
  user: number
  system: number
  residentBytes: number
}

interface Started {
  url: string
  start: StartSample
  usage (): Promise<Usage>
}

/**
 * Measures a cold start.
 *
 * @param root a folder in which hatcheck is installed
 */
export async function measureStart (lifetime: Lifetime, root: string, sessionStore: string): Promise<StartSample> {
  return await withService(lifetime, root, sessionStore, async ({ start }) => start)
}

/** Measures the service while it answers `/` to a logged-in user. */
export async function measureLoad (lifetime: Lifetime, root: string, sessionStore: string): Promise<LoadSample> {
  return await withService(lifetime, root, sessionStore, async ({ url, usage }) => {
    const { cookie } = await headersOfHarry({ name: 'the service', url })
    const before = await usage()
    const { requests, non2xx, errors, timeouts } = await autocannon({ url, headers: { cookie }, connections: CONNECTIONS, amount: REQUESTS })
    assert.deepEqual({ non2xx, errors, timeouts }, { non2xx: 0, errors: 0, timeouts: 0 })
    const after = await usage()
    return {
      residentBytes: after.residentBytes,
      requests: requests.total,
      requestMicros: (after.user + after.system - before.user - before.system) / requests.total
    }
  })
}

/** Starts the service as `node dist/server.js`, in a data folder of its own, asks it once, and stops it after the work. */
async function withService<T> ({ teardown }: Lifetime, root: string, sessionStore: string, work: (started: Started) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(root, 'run-'))
  const meter = join(folder, 'meter.cjs')
  writeFileSync(meter, METER)
  const server = join(root, 'node_modules/hatcheck/dist/server.js')
  const begun = performance.now()
  const child = spawn(process.execPath, ['--require', meter, server], {
    cwd: folder,
    env: childEnvironment({ PORT: '0', SESSION_STORE: sessionStore, REQUEST_LOG: 'off' }),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  const stop = async (): Promise<void> => { await endProcess(child) }
  teardown(stop)
  const usage = async (): Promise<Usage> => await answerOf(child, 'the service', 'usage')
  try {
    const url = await addressOf(child)
    const { statusCode } = await new Client(url).get('/')
    const wallMs = performance.now() - begun
    const { user, system, residentBytes } = await usage()
    assert.equal(statusCode, 200, `the service answers ${statusCode}`)
    return await work({ url, start: { wallMs, cpuMs: (user + system) / 1_000, residentBytes }, usage })
  } finally {
    await stop()
  }
}
