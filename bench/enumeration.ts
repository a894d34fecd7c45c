import Fastify, { type FastifyInstance } from 'fastify'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hatcheckService } from '../app.js'
import { Client, type Answer } from '../test/client.js'
import { orUsage, positiveNumber } from './usage.js'

// Does the time of a refused login tell which names exist? And do those who are logged in notice an attack on the logins?
// The service, those who attack it and those who measure are processes of their own; the service is on LMDB, and asked over TCP.

const RIGHT = 'correct horse battery'
const WRONG = 'staple of something else'
const HOUR = 3_600_000
/** Moved on by so much, the throttle has forgotten every failure. */
const LATER_MS = 2 * HOUR
const READS = 2_000
const ATTACKERS = 500

const USAGE = 'npm run enumeration -- [--samples 500]'
const { samples, serve, attack } = orUsage(USAGE, () => {
  const { values: { samples, ...roles } } = parseArgs({ options: { samples: { type: 'string', default: '500' }, serve: { type: 'string' }, attack: { type: 'string' } } })
  return { samples: positiveNumber('--samples', samples), ...roles }
})
if (serve !== undefined) await runService(serve)
else if (attack !== undefined) await runAttack(Number(attack))
else await measure()

/** The parent says when the clock is to be moved on. */
async function runService (folder: string): Promise<void> {
  let ahead = 0
  const fastify = Fastify({ logger: false }) as unknown as FastifyInstance
  await fastify.register(hatcheckService, {
    mode: 'service',
    secretKey: crypto.getRandomValues(new Uint8Array(32)),
    sessionStore: `lmdb:${folder}`,
    sessionCookieSecure: 'auto',
    sessionLifetime: 400 * 86_400,
    sessionIdleTimeout: 400 * 86_400,
    now: () => Date.now() + ahead
  })
  await fastify.ready()
  for (const name of ['Harry', 'Sally']) await fastify.accounts?.add(name, RIGHT)
  await fastify.accounts?.disable('Sally')
  process.on('disconnect', () => { fastify.close().finally(() => { process.exit() }) })
  process.on('message', () => {
    ahead += LATER_MS
    process.send?.('moved on')
  })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  process.send?.((fastify.server.address() as AddressInfo).port)
}

/** Logs in as 500 people at once, over and over, until it is told to stop; then tells what it was answered. */
async function runAttack (port: number): Promise<void> {
  const ending = new AbortController()
  process.on('message', () => { ending.abort() })
  const agent = new Agent({ keepAlive: true, maxSockets: ATTACKERS })
  const statuses: Record<number, number> = {}
  const attackers = Array.from({ length: ATTACKERS }, async (_, i) => {
    while (!ending.signal.aborted) {
      const { statusCode } = await login(port, agent, `user ${i}`, WRONG)
      statuses[statusCode] = (statuses[statusCode] ?? 0) + 1
      // A person who is told to come again waits for a moment.
      await new Promise((resolve) => { setTimeout(resolve, 1_000 + Math.random() * 1_000) })
    }
  })
  await Promise.all(attackers)
  agent.destroy()
  process.send?.(statuses)
  process.disconnect()
}

async function measure (): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'hatcheck-enumeration-'))
  const child = fork(import.meta.filename, ['--serve', join(folder, 'lmdb')])
  try {
    const [port] = await once(child, 'message') as [number]
    await compareLogins(port, child)
    await compareReads(port, child)
  } finally {
    const ended = once(child, 'exit')
    if (child.connected) child.disconnect()
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The cases take turns, in an order that changes from round to round, so that what disturbs the machine meets them alike. */
async function compareLogins (port: number, child: ChildProcess): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const cases = { 'wrong password': ['Harry', WRONG], 'unknown name': ['Molly', WRONG], 'disabled account': ['Sally', RIGHT] } as const
  const names = Object.keys(cases) as Array<keyof typeof cases>
  const took: Record<keyof typeof cases, number[]> = { 'wrong password': [], 'unknown name': [], 'disabled account': [] }
  for (let round = -10; round < samples; round++) {
    await moveOn(child)
    for (const name of shuffled(names)) {
      const before = performance.now()
      const [user, password] = cases[name]
      const { statusCode } = await login(port, agent, user, password)
      if (statusCode !== 401) throw new Error(`${name}: ${statusCode}`)
      // The first rounds warm up.
      if (round >= 0) took[name].push(performance.now() - before)
    }
  }
  agent.destroy()
  const known = took['wrong password']
  console.log(`${samples} refused logins of each kind`)
  for (const name of names) {
    const { share, z } = mannWhitney(known, took[name])
    const off = (median(took[name]) / median(known) - 1) * 100
    const verdict = Math.abs(off) <= 5 && Math.abs(share - 0.5) <= 0.06
    if (!verdict) process.exitCode = 1
    console.log(`${name.padEnd(18)}median ${median(took[name]).toFixed(2)} ms (${off >= 0 ? '+' : ''}${off.toFixed(1)} %); ` +
      `slower than a wrong password in ${(share * 100).toFixed(1)} % of pairs, z ${z.toFixed(2)}: ${verdict ? 'alike' : 'DIFFERENT'}`)
  }
}

/** Reads of one who is logged in: while nothing happens, and while 500 others are logging in over and over. */
async function compareReads (port: number, child: ChildProcess): Promise<void> {
  await moveOn(child)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const harry = clientOf(port, agent)
  await harry.login('Harry', RIGHT)
  const read = async (): Promise<number> => {
    const before = performance.now()
    const { statusCode, body } = await harry.get('/')
    if (statusCode !== 200 || !body.includes('Harry Your account is logged in.')) throw new Error(`a read got ${statusCode}`)
    return performance.now() - before
  }
  for (let i = 0; i < READS; i++) await read()
  const idle: number[] = []
  for (let i = 0; i < READS; i++) idle.push(await read())

  const attackers = fork(import.meta.filename, ['--attack', String(port)])
  const moving = setInterval(() => { child.send('move on') }, 500)
  const busy: number[] = []
  await new Promise((resolve) => { setTimeout(resolve, 2_000) })
  for (let i = 0; i < READS; i++) busy.push(await read())
  clearInterval(moving)
  const told = once(attackers, 'message')
  attackers.send('stop')
  const [statuses] = await told
  agent.destroy()
  const ratio = median(busy) / median(idle)
  console.log(`reads of one who is logged in: median ${median(idle).toFixed(2)} ms when nothing happens, ` +
    `${median(busy).toFixed(2)} ms while ${ATTACKERS} are logging in (${ratio.toFixed(2)} x); p99 ${quantile(idle, 0.99).toFixed(2)} and ${quantile(busy, 0.99).toFixed(2)} ms; ` +
    `answers of the logins ${JSON.stringify(statuses)}`)
}

async function moveOn (child: ChildProcess): Promise<void> {
  const moved = once(child, 'message')
  child.send('move on')
  await moved
}

function login (port: number, agent: Agent, name: string, password: string): Promise<Answer> {
  return clientOf(port, agent).send({ method: 'POST', url: '/login', payload: { client_name: name, password } })
}

function clientOf (port: number, agent: Agent): Client {
  return new Client(`http://127.0.0.1:${port}`, { agent })
}

/** In how many of all pairs the second is the greater one, and how far that is from a half, in standard deviations. */
function mannWhitney (first: readonly number[], second: readonly number[]): { share: number, z: number } {
  const [n, m] = [first.length, second.length]
  let u = 0
  for (const a of first) for (const b of second) u += b > a ? 1 : b === a ? 0.5 : 0
  return { share: u / (n * m), z: (u - n * m / 2) / Math.sqrt(n * m * (n + m + 1) / 12) }
}

function median (values: readonly number[]): number {
  return quantile(values, 0.5)
}

function quantile (values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? NaN
}

function shuffled<T> (values: readonly T[]): T[] {
  return values.map((value) => ({ value, at: Math.random() })).sort((a, b) => a.at - b.at).map(({ value }) => value)
}
