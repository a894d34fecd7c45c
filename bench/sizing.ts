import { strict as assert } from 'node:assert'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { resolveConfig } from '../plugins/config/resolve.js'
import { openStorage } from '../plugins/storage/open.js'
import { newSecret } from '../plugins/tickets/secrets.js'
import { createTicketSigner, storeKey } from '../plugins/tickets/ticket.js'
import { Client } from '../test/clients/client.js'
import { Child } from './child.js'
import { readCommandLine } from './command-line.js'
import { runCommand, say } from './command.js'
import { compile } from './compile.js'
import { SECRET_VARIABLE } from './contenders/hatcheck.js'
import { headersOfHarry } from './harry.js'
import { Visitor } from './load/visitor.js'
import { markdownTable } from './markdown.js'
import { measure, type Sample } from './measure.js'
import { retry } from './retry.js'
import { lmdbStore, startRedis, type BenchStore } from './stores.js'

// Measures memory and throughput of one process on each store. Prints a table to standard output.

readCommandLine('npm run bench:sizing', () => parseArgs({ options: {} }))

const SESSIONS = 100_000
const SECONDS = 5
const WARM_UP_SECONDS = 2
const CONNECTIONS = 10
/** Logins to one account would wait for one another; hatcheck hashes the passwords of two at a time. */
const ACCOUNTS = 8
const BATCH = 100
const READERS = 10

interface Findings {
  home: Sample
  verify: Sample
  logins: { perSecond: number, cpuMillis: number }
  emptyBytes: number
  fullBytes: number
  bytesPerSession: number
  openMs: number
}

// This process makes tickets for the service.
const secret = newSecret()
process.env[SECRET_VARIABLE] = secret
const signer = createTicketSigner([Buffer.from(secret)])
const silent = { info () {}, warn () {} }

await runCommand('sizing', async ({ folder, signal, teardown }) => {
  say('compiling')
  const file = await compile(join(folder, 'build'), signal)
  const stores = [lmdbStore(folder)]
  const redis = await startRedis(folder, signal)
  if (redis === null) say('redis-server is not installed: only LMDB is measured')
  else {
    teardown(redis.close)
    stores.push(redis)
  }
  const found: Findings[] = []
  for (const store of stores) {
    found.push(await measureStore(store, async () => {
      const child = new Child(file, store.contender, store.resources)
      teardown(async () => { await child.stop() })
      await child.start()
      return child
    }))
  }
  process.stdout.write(`\n${report(stores, found)}\n`)
})

async function measureStore (store: BenchStore, start: () => Promise<Child>): Promise<Findings> {
  const { title } = store
  say(`${title}: without sessions`)
  const child = await start()
  const headers = await headersOfHarry(child)
  const ask = async (path: string, seconds = SECONDS): Promise<Sample> =>
    await measure(child, { method: 'GET', path, headers }, () => ({ visitor: new Visitor() }), { ms: seconds * 1_000, connections: CONNECTIONS })
  await ask('/', WARM_UP_SECONDS)
  const { residentBytes: emptyBytes } = await child.usage()
  const home = await ask('/')
  const verify = await ask('/verify')
  say(`${title}: ${home.requestsPerSecond.toFixed(0)} requests a second to /, ${verify.requestsPerSecond.toFixed(0)} to /verify; now logins`)
  const logins = await logIn(child)
  await child.stop()

  say(`${title}: ${logins.perSecond.toFixed(1)} logins a second; now creating ${SESSIONS} sessions`)
  const { cookies, bytesPerSession } = await fill(store)
  const openMs = await timeToOpen(store)
  say(`${title}: reading each session once`)
  const again = await start()
  await readAll(again, cookies)
  const { residentBytes: fullBytes } = await again.usage()
  await again.stop()
  return { home, verify, logins, emptyBytes, fullBytes, bytesPerSession, openMs }
}

/** Logs several users in at once, repeatedly. */
async function logIn (child: Child): Promise<Findings['logins']> {
  const users = Array.from({ length: ACCOUNTS }, (_, i) => ({ client_name: `User ${i}`, password: 'a phrase that is on no list' }))
  const agent = new Agent({ keepAlive: true })
  const login = async (payload: object): Promise<void> => {
    const { statusCode } = await new Client(child.url, { agent }).send({ method: 'POST', url: '/login', headers: { accept: 'application/json' }, payload })
    assert.equal(statusCode, 200, `${child.name}: a login answers ${statusCode}`)
  }
  // The first login creates the account.
  await Promise.all(users.map(login))
  const { cpuMicros: before } = await child.usage()
  const begun = performance.now()
  let count = 0
  await Promise.all(users.map(async (user) => {
    while (performance.now() - begun < SECONDS * 1_000) {
      await login(user)
      count++
    }
  }))
  const elapsed = performance.now() - begun
  agent.destroy()
  const { cpuMicros: after } = await child.usage()
  return { perSecond: count / elapsed * 1_000, cpuMillis: (after - before) / 1_000 / count }
}

/** Creates sessions as a login does, each for another user, and returns their cookies. */
async function fill (store: BenchStore): Promise<{ cookies: string[], bytesPerSession: number }> {
  const storage = await openStorage(configOf(store), silent)
  try {
    const record = (await storage.sessions.ofUser('Harry'))[0]?.record
    assert.ok(record !== undefined, 'Harry has no session')
    const before = await store.bytes()
    const cookies: string[] = []
    for (let i = 0; i < SESSIONS; i += BATCH) {
      await Promise.all(Array.from({ length: BATCH }, async (_, j) => {
        const user = `User number ${i + j}`
        const fields = { ...record.fields, client_name: JSON.stringify(user) }
        cookies.push(await retry(async () => {
          const id = signer.newId()
          await storage.sessions.create(storeKey(id), { ...record, user, fields })
          return `hatcheck=${signer.sign(id)}`
        }))
      }))
    }
    return { cookies, bytesPerSession: (await store.bytes() - before) / SESSIONS }
  } finally {
    await storage.close()
  }
}

async function timeToOpen (store: BenchStore): Promise<number> {
  const begun = performance.now()
  const storage = await openStorage(configOf(store), silent)
  await storage.sessions.ping()
  const took = performance.now() - begun
  await storage.close()
  return took
}

async function readAll (child: Child, cookies: readonly string[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: READERS })
  const client = new Client(child.url, { agent })
  const rest = cookies.values()
  await Promise.all(Array.from({ length: READERS }, async () => {
    for (const cookie of rest) {
      await retry(async () => {
        const { statusCode } = await client.get('/verify', { cookie })
        assert.equal(statusCode, 204, `${child.name}: a stored session is refused`)
      })
    }
  }))
  agent.destroy()
}

function configOf ({ options }: BenchStore) {
  return resolveConfig(options, 'service')
}

function report (stores: readonly BenchStore[], found: readonly Findings[]): string {
  const row = (title: string, value: (findings: Findings) => string): string[] => [title, ...found.map(value)]
  return [
    markdownTable(['one process', ...stores.map(({ title }) => title)], [
      row('`/`, logged in: requests a second', ({ home }) => home.requestsPerSecond.toFixed(0)),
      row('CPU time for each', ({ home }) => `${home.cpuMicros.toFixed(0)} µs`),
      row('`/verify`, logged in: requests a second', ({ verify }) => verify.requestsPerSecond.toFixed(0)),
      row('CPU time for each', ({ verify }) => `${verify.cpuMicros.toFixed(0)} µs`),
      row('logins a second, two at a time', ({ logins }) => logins.perSecond.toFixed(1)),
      row('CPU time for each', ({ logins }) => `${logins.cpuMillis.toFixed(1)} ms`),
      row('resident memory without sessions, after a warm-up', ({ emptyBytes }) => mebibytes(emptyBytes)),
      row(`resident memory after ${SESSIONS.toLocaleString('en')} sessions were read`, ({ fullBytes }) => mebibytes(fullBytes)),
      row('a session in the store', ({ bytesPerSession }) => `${bytesPerSession.toFixed(0)} bytes`),
      row(`the store opens, with ${SESSIONS.toLocaleString('en')} sessions`, ({ openMs }) => `${openMs.toFixed(0)} ms`)
    ]),
    'Measured with ten connections and without a log. With LMDB, sessions are on the disk, and the resident memory includes the pages of the file that',
    'were read; the system takes these back when it needs memory. With Redis, sessions are in the memory of Redis.'
  ].join('\n')
}

function mebibytes (bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}
