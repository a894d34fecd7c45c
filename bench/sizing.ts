import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveConfig } from '../plugins/config/resolve.js'
import { createTicketSigner, storeKey } from '../plugins/tickets/ticket.js'
import { openStorage } from '../plugins/storage/open.js'
import { Child } from './child.js'
import { compile } from './compile.js'
import { SECRET_VARIABLE } from './contenders/hatcheck.js'
import { Visitor } from './load/visitor.js'
import { measure, type Sample } from './measure.js'
import { lmdbPlace, redisPlace, type Place } from './places.js'
import { headersOfHarry } from './harry.js'
import { Client } from '../test/client.js'
import { endWhenInterrupted } from './interrupt.js'

// npm run bench:sizing: measures memory and throughput of one process. Prints a table to standard output.

const SESSIONS = 100_000
const SECONDS = 5
const WARM_UP_SECONDS = 2
const CONNECTIONS = 10
/** Logins to one account would wait for one another. */
const ACCOUNTS = 8
const BATCH = 100
/** On a busy machine, Redis may miss its deadline of 250 ms. */
const ATTEMPTS = 20
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

const secret = randomBytes(32)
process.env[SECRET_VARIABLE] = secret.toString('base64url')
const signer = createTicketSigner([Buffer.from(process.env[SECRET_VARIABLE])])

const folder = mkdtempSync(join(tmpdir(), 'hatcheck-sizing-'))
const children: Child[] = []
const places: Place[] = []
const interrupt = endWhenInterrupted(cleanUp)
const silent = { info () {}, warn () {} }

try {
  say('compiling')
  const file = await compile(join(folder, 'build'), interrupt.signal)
  places.push(lmdbPlace(folder))
  const redis = await redisPlace(folder, interrupt.signal)
  if (redis === null) say('redis-server is not installed: only LMDB is measured')
  else places.push(redis)
  const found: Findings[] = []
  for (const place of places) found.push(await measurePlace(file, place))
  process.stdout.write(`\n${report(places, found)}\n`)
} catch (error) {
  if (!interrupt.signal.aborted) say(`sizing: ${(error as Error).message}`)
  process.exitCode = 1
} finally {
  await cleanUp()
}

async function measurePlace (file: string, place: Place): Promise<Findings> {
  say(`${place.title}: without sessions`)
  const child = await start(file, place)
  const headers = await headersOfHarry(child)
  const ask = async (path: string, seconds = SECONDS): Promise<Sample> =>
    await measure(child, { method: 'GET', path, headers }, () => ({ visitor: new Visitor() }), { ms: seconds * 1_000, connections: CONNECTIONS })
  await ask('/', WARM_UP_SECONDS)
  const { residentBytes: emptyBytes } = await child.usage()
  const home = await ask('/')
  const verify = await ask('/verify')
  say(`${place.title}: ${home.requestsPerSecond.toFixed(0)} requests a second to /, ${verify.requestsPerSecond.toFixed(0)} to /verify; now logins`)
  const logins = await logIn(child)
  await child.stop()

  say(`${place.title}: ${logins.perSecond.toFixed(1)} logins a second; now creating ${SESSIONS} sessions`)
  const { cookies, bytesPerSession } = await fill(place)
  const openMs = await timeToOpen(place)
  say(`${place.title}: reading each session once`)
  const again = await start(file, place)
  await readAll(again, cookies)
  const { residentBytes: fullBytes } = await again.usage()
  await again.stop()
  return { home, verify, logins, emptyBytes, fullBytes, bytesPerSession, openMs }
}

async function start (file: string, { contender, where }: Place): Promise<Child> {
  const child = new Child(file, contender, { dataDir: where, redisUrl: where })
  children.push(child)
  await child.start()
  return child
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
async function fill (place: Place): Promise<{ cookies: string[], bytesPerSession: number }> {
  const storage = await openStorage(configOf(place), silent)
  try {
    const record = (await storage.sessions.ofUser('Harry'))[0]?.record
    assert.ok(record !== undefined, 'Harry has no session')
    const before = await place.bytes()
    const cookies: string[] = []
    for (let i = 0; i < SESSIONS; i += BATCH) {
      await Promise.all(Array.from({ length: BATCH }, async (_, j) => {
        const user = `User number ${i + j}`
        const fields = { ...record.fields, client_name: JSON.stringify(user) }
        cookies.push(await persistently(async () => {
          const id = signer.newId()
          await storage.sessions.create(storeKey(id), { ...record, user, fields })
          return `hatcheck=${signer.sign(id)}`
        }))
      }))
    }
    return { cookies, bytesPerSession: (await place.bytes() - before) / SESSIONS }
  } finally {
    await storage.close()
  }
}

async function timeToOpen (place: Place): Promise<number> {
  const begun = performance.now()
  const storage = await openStorage(configOf(place), silent)
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
      await persistently(async () => {
        const { statusCode } = await client.get('/verify', { cookie })
        assert.equal(statusCode, 204, `${child.name}: a stored session is refused`)
      })
    }
  }))
  agent.destroy()
}

/** Retries work that is not measured. */
async function persistently<T> (work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === ATTEMPTS) throw error
    }
  }
}

function configOf ({ options }: Place) {
  return resolveConfig(options, 'service')
}

function report (places: readonly Place[], found: readonly Findings[]): string {
  const row = (title: string, value: (findings: Findings) => string): string => `| ${[title, ...found.map(value)].join(' | ')} |`
  return [
    `| one process | ${places.map(({ title }) => title).join(' | ')} |`,
    `| --- | ${places.map(() => '---').join(' | ')} |`,
    row('`/`, logged in: requests a second', ({ home }) => home.requestsPerSecond.toFixed(0)),
    row('CPU time for each', ({ home }) => `${home.cpuMicros.toFixed(0)} µs`),
    row('`/verify`, logged in: requests a second', ({ verify }) => verify.requestsPerSecond.toFixed(0)),
    row('CPU time for each', ({ verify }) => `${verify.cpuMicros.toFixed(0)} µs`),
    row('logins a second, two at a time', ({ logins }) => logins.perSecond.toFixed(1)),
    row('CPU time for each', ({ logins }) => `${logins.cpuMillis.toFixed(1)} ms`),
    row('resident memory without sessions', ({ emptyBytes }) => mebibytes(emptyBytes)),
    row(`resident memory after ${SESSIONS.toLocaleString('en')} sessions were read`, ({ fullBytes }) => mebibytes(fullBytes)),
    row('a session in the store', ({ bytesPerSession }) => `${bytesPerSession.toFixed(0)} bytes`),
    row(`the store opens, with ${SESSIONS.toLocaleString('en')} sessions`, ({ openMs }) => `${openMs.toFixed(0)} ms`),
    '',
    'Measured with ten connections and without a log. With LMDB, sessions are on the disk, and the resident memory includes the pages of the file that',
    'were read; the system takes these back when it needs memory. With Redis, sessions are in the memory of Redis.'
  ].join('\n')
}

function mebibytes (bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}

async function cleanUp (): Promise<void> {
  await Promise.all(children.splice(0).map((child) => child.stop()))
  await Promise.all(places.splice(0).map((place) => place.close()))
  rmSync(folder, { recursive: true, force: true })
}

function say (text: string): void {
  process.stderr.write(`${text}\n`)
}
