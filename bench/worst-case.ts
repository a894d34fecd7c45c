import { fork } from 'node:child_process'
import { Agent } from 'node:http'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { newSecret } from '../plugins/tickets/secrets.js'
import { Client } from '../test/clients/client.js'
import { inputs, OWNER, type Asked, type Input } from '../test/long/attacks/inputs.js'
import { addressOf, childEnvironment } from '../test/processes/child.js'
import { readCommandLine } from './command-line.js'
import { runCommand, type Lifetime } from './command.js'
import { answerOf, endProcess } from './processes.js'

// What does the worst input cost? For each input that a stranger or a user chooses: how long a request with an ordinary
// value keeps the event loop of the service at work, and how long one with the worst of the generated values. The service is
// a process of its own, on LMDB, and asked over TCP.

/** The bounds: ms of the event loop, and times the cost of an ordinary request. */
const MOST_MS = 10
const MOST_TIMES = 10
/** An ordinary request that costs less counts as this much: next to nothing is no measure. */
const LEAST_ORDINARY_MS = 0.1

const USAGE = 'npm run worst-case -- [--only WORD]: only the inputs with this word in their name, such as "cookie"'
const wanted = readCommandLine(USAGE, () => {
  const { values: { only = '' } } = parseArgs({ options: { only: { type: 'string' } } })
  const wanted = inputs.filter(({ name }) => name.includes(only))
  if (wanted.length === 0) throw new Error(`--only must be a word in the name of an input; got "${only}".`)
  return wanted
})

interface Service {
  url: string
  /** Returns how long the event loop has been at work, in ms. */
  loopTime (): Promise<number>
}

interface Measured extends Pick<Input, 'name' | 'size'> {
  ordinaryMs: number
  what: string
  worstMs: number
}

const NOTHING: readonly Asked[] = []
const clients = new Map<readonly Asked[], Client>()
const agent = new Agent({ keepAlive: true, maxSockets: 1 })
let service: Service
let turn = 0

await runCommand('worst-case', async (lifetime) => {
  lifetime.teardown(() => { agent.destroy() })
  service = await start(lifetime)
  const measured: Measured[] = []
  for (const input of wanted) {
    const one = await measure(input)
    measured.push(one)
    print(one)
  }
  const bad = measured.filter((one) => isTooMuch(one))
  process.stdout.write(`${measured.length} inputs, ${bad.length} over ${MOST_TIMES} times an ordinary request or ${MOST_MS} ms\n`)
  if (bad.length > 0) process.exitCode = 1
})

async function start ({ folder, teardown }: Lifetime): Promise<Service> {
  const child = fork(resolve(import.meta.dirname, '../server.ts'), {
    cwd: folder,
    execArgv: [...process.execArgv, '--import', join(import.meta.dirname, 'loop-time.ts')],
    env: childEnvironment({ PORT: '0', SECRET_KEY: newSecret(), SIGNUP: 'open', TRUST_PROXY: '127.0.0.1,::1', SESSION_COOKIE_SECURE: 'false' }),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  teardown(async () => { await endProcess(child) })
  const url = await addressOf(child)
  return { url, loopTime: () => answerOf(child, 'the service', 'loop time') }
}

/** The quickest of a few rounds each: what else the machine does only ever adds to it. */
async function measure (input: Input): Promise<Measured> {
  const { name, size, as, before = NOTHING, hashes = false, ordinary } = input
  const user = await clientOf(as, NOTHING)
  const full = await clientOf(as, before)
  const requests = hashes ? 4 : 20
  const ordinaryMs = await quickest(5, () => costOf(user, input, ordinary, requests))
  let worst = { what: '', worstMs: 0 }
  for (const [what, value] of input.worst) {
    const worstMs = await quickest(6, () => costOf(full, input, value, hashes ? 2 : 10))
    if (worstMs > worst.worstMs) worst = { what, worstMs }
  }
  return { name, size, ordinaryMs, ...worst }
}

async function quickest (rounds: number, measureOnce: () => Promise<number>): Promise<number> {
  let least = Infinity
  for (let i = 0; i < rounds; i++) least = Math.min(least, await measureOnce())
  return least
}

async function costOf (user: Client | null, input: Input, value: string, requests: number): Promise<number> {
  const before = await service.loopTime()
  for (let i = 0; i < requests; i++) await ask(user ?? newClient(), input.ask(value, turn++))
  return (await service.loopTime() - before) / requests
}

/**
 * Returns the client of a user who has sent these requests before; several inputs share theirs. Returns null for a stranger,
 * who is another one with each request.
 */
async function clientOf (as: Input['as'], before: readonly Asked[]): Promise<Client | null> {
  if (as === 'stranger') return null
  const known = clients.get(before)
  if (known !== undefined) return known
  const client = newClient()
  await client.login(OWNER.name, OWNER.password)
  for (const asked of before) await ask(client, asked)
  clients.set(before, client)
  return client
}

function newClient (): Client {
  return new Client(service.url, { agent })
}

async function ask (client: Client, asked: Asked): Promise<void> {
  const { method, url } = asked
  const { statusCode } = await client.send(asked)
    .catch((error: unknown) => { throw new Error(`no answer to ${method} ${url.slice(0, 80)}`, { cause: error }) })
  if (statusCode >= 500) throw new Error(`${method} ${url.slice(0, 80)} answers ${statusCode}`)
}

function isTooMuch ({ ordinaryMs, worstMs }: Measured): boolean {
  return worstMs > MOST_MS || worstMs > MOST_TIMES * Math.max(LEAST_ORDINARY_MS, ordinaryMs)
}

function print (one: Measured): void {
  const { name, size, ordinaryMs, what, worstMs } = one
  process.stdout.write(`${isTooMuch(one) ? 'TOO MUCH ' : '         '}${name.padEnd(58)} ${String(size).padStart(6)} bytes ${ordinaryMs.toFixed(2).padStart(7)} ms ${worstMs.toFixed(2).padStart(7)} ms ${(worstMs / ordinaryMs).toFixed(1).padStart(6)} x  ${what}\n`)
}
