import autocannon from 'autocannon'
import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Client } from '../../test/client.js'
import { childEnvironment } from '../../test/fixtures/child.js'

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
  stop (): Promise<void>
}

/** Measures a cold start. The folder has `hatcheck` installed. */
export async function measureStart (place: string, sessionStore: string): Promise<StartSample> {
  const { start, stop } = await startService(place, sessionStore)
  await stop()
  return start
}

/** Measures the service while it answers `/` to a user who is logged in. */
export async function measureLoad (place: string, sessionStore: string): Promise<LoadSample> {
  const { url, usage, stop } = await startService(place, sessionStore)
  const user = new Client(url)
  const { statusCode } = await user.send({ method: 'POST', url: '/login', headers: { accept: 'application/json' }, payload: { client_name: 'Harry', password: 'a phrase that is on no list' } })
  assert.equal(statusCode, 200, `the login answers ${statusCode}`)
  const before = await usage()
  const { requests, non2xx, errors, timeouts } = await autocannon({ url, headers: { cookie: user.cookieHeader }, connections: CONNECTIONS, amount: REQUESTS })
  assert.deepEqual({ non2xx, errors, timeouts }, { non2xx: 0, errors: 0, timeouts: 0 })
  const after = await usage()
  await stop()
  return {
    residentBytes: after.residentBytes,
    requests: requests.total,
    requestMicros: (after.user + after.system - before.user - before.system) / requests.total
  }
}

/** Starts the service as `node dist/server.js`, in a data folder of its own, and asks it once. */
async function startService (place: string, sessionStore: string): Promise<Started> {
  const folder = mkdtempSync(join(place, 'run-'))
  const meter = join(folder, 'meter.cjs')
  writeFileSync(meter, METER)
  const server = join(place, 'node_modules/hatcheck/dist/server.js')
  const begun = performance.now()
  const child = spawn(process.execPath, ['--require', meter, server], {
    cwd: folder,
    env: childEnvironment({ PORT: '0', SESSION_STORE: sessionStore, REQUEST_LOG: 'off' }),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  const ended = once(child, 'exit')
  const usage = async (): Promise<Usage> => {
    child.send('usage')
    const [answer] = await once(child, 'message') as [Usage]
    return answer
  }
  const url = await Promise.race([addressIn(child.stdout), ended.then(([code]) => { throw new Error(`the service ended with ${code}`) })])
  const { statusCode } = await new Client(url).get('/')
  const wallMs = performance.now() - begun
  const { user, system, residentBytes } = await usage()
  assert.equal(statusCode, 200)
  return {
    url,
    start: { wallMs, cpuMs: (user + system) / 1_000, residentBytes },
    usage,
    async stop () {
      child.kill('SIGTERM')
      await ended
    }
  }
}

async function addressIn (output: NodeJS.ReadableStream | null): Promise<string> {
  if (output === null) throw new TypeError('the output is needed')
  return await new Promise((resolve) => {
    // Read to the end: a full pipe would stop the service.
    createInterface({ input: output }).on('line', (line) => {
      const url = /listens at (http:[^"\s]+)/.exec(line)?.[1]
      if (url !== undefined) resolve(url)
    })
  })
}
