import { execFileSync, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import type { Cluster, Redis } from 'ioredis'
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream'
import { mock } from 'node:test'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import { test, type Test } from 'tap'
import { within } from '../plugins/common/deadline.js'
import { parseRedisUrl, type RedisTarget } from '../plugins/config/redis-url.js'
import { RedisAccounts } from '../plugins/storage/redis/accounts.js'
import { connectRedis } from '../plugins/storage/redis/client.js'
import { IdleConnections } from '../plugins/storage/redis/idle.js'
import { RedisStore } from '../plugins/storage/redis/sessions.js'
import { changesOf, recordOf } from '../plugins/store/contract/index.js'
import { needs, turn } from './helper.js'
import { checkout, compiledFixture } from './processes/child.js'
import { freePort } from './processes/free-port.js'
import { connect, startRedis, type RedisServer } from './programs/redis.js'
import { longestDelay, until } from './time/loop-clock.js'

test('a Redis URL gives the address and the credentials', (t) => {
  const none = { username: undefined, password: undefined, path: '', primary: '', database: 0, tls: false }
  const at = (host: string, port = 6_379): { host: string, port: number } => ({ host, port })
  const urls: Record<string, Omit<RedisTarget, 'description'>> = {
    'redis://db': { ...none, kind: 'server', hosts: [at('db')] },
    'redis://db/': { ...none, kind: 'server', hosts: [at('db')] },
    'redis://db:7000/2': { ...none, kind: 'server', hosts: [at('db', 7_000)], database: 2 },
    'redis://[::1]:7000': { ...none, kind: 'server', hosts: [at('::1', 7_000)] },
    'redis://:s%40f%2Fe@db': { ...none, kind: 'server', hosts: [at('db')], password: 's@f/e' },
    'redis://harry:p:w@db.example.com': { ...none, kind: 'server', hosts: [at('db.example.com')], username: 'harry', password: 'p:w' },
    'rediss://harry:@db': { ...none, kind: 'server', hosts: [at('db')], username: 'harry', tls: true },
    'redis+unix:///run/redis%20one.sock': { ...none, kind: 'socket', hosts: [], path: '/run/redis one.sock' },
    'redis+unix://:pw@/run/redis.sock': { ...none, kind: 'socket', hosts: [], path: '/run/redis.sock', password: 'pw' },
    'redis+cluster://:pw@a,b:7001': { ...none, kind: 'cluster', hosts: [at('a'), at('b', 7_001)], password: 'pw' },
    'rediss+cluster://a': { ...none, kind: 'cluster', hosts: [at('a')], tls: true },
    'redis+sentinel://a,b:7001/main': { ...none, kind: 'sentinel', hosts: [at('a', 26_379), at('b', 7_001)], primary: 'main' },
    'rediss+sentinel://harry:pw@a/main/3': { ...none, kind: 'sentinel', hosts: [at('a', 26_379)], primary: 'main', database: 3, username: 'harry', password: 'pw', tls: true }
  }
  for (const [url, target] of Object.entries(urls)) {
    const { description, ...parsed } = parseRedisUrl(url, 'SESSION_STORE')
    t.strictSame(parsed, target, url)
    t.equal(description, url.replace(/\/\/.*@/, '//'), 'the description has no credentials')
  }
  t.end()
})

test('an invalid Redis URL is refused with the rule, and no part of it is shown', (t) => {
  const refusals: Record<string, RegExp> = {
    'redis:': /^SESSION_STORE is a Redis URL that cannot be read; it must be redis:\/\/\[user:password@\]host/,
    'redis://': /^SESSION_STORE must be redis:\/\/.*, with rediss for TLS\./,
    'redis://hunter2@db': /must be redis:\/\//,
    'redis://:hun@ter2@db': /cannot be read.* Percent-encode/,
    'redis://:hunter2%@db': /must be redis:\/\//,
    'redis://db:hunter2': /must be redis:\/\//,
    'redis://db:65536': /must be redis:\/\//,
    'redis://db/hunter2': /must be redis:\/\//,
    'redis://db/1/2': /must be redis:\/\//,
    'redis://db?password=hunter2': /cannot be read/,
    'redis://db#hunter2': /cannot be read/,
    'redis://a,b': /must be redis:\/\//,
    'redis+unix://host/run/redis.sock': /must be redis\+unix:\/\/\/path\/of\/the\/socket\./,
    'redis+unix:///': /must be redis\+unix/,
    'rediss+unix:///run/redis.sock': /must be redis\+unix/,
    'redis+cluster://a,b/1': /must be redis\+cluster:\/\//,
    'redis+cluster://a,,b': /must be redis\+cluster:\/\//,
    'redis+sentinel://a,b': /must be redis\+sentinel:\/\//,
    'redis+sentinel://a/main/x': /must be redis\+sentinel:\/\//,
    'redis+hunter2://a': /cannot be read/
  }
  for (const [url, rule] of Object.entries(refusals)) {
    let refusal
    try {
      parseRedisUrl(url, 'SESSION_STORE')
    } catch (error) {
      refusal = error as Error
    }
    t.match(refusal, { code: 'HATCHECK_CONFIG', message: rule }, url)
    t.notMatch(refusal?.message, 'hunter2')
  }
  t.end()
})

interface Line {
  level: 'info' | 'warn' | 'debug'
  text: string
}

/** A log that keeps its lines, and all texts in them. */
function keepingLog (): { lines: Line[] } & Record<Line['level'], (...args: unknown[]) => void> {
  const lines: Line[] = []
  const keep = (level: Line['level']) => (...args: unknown[]): void => { lines.push({ level, text: args.map((arg) => typeof arg === 'string' ? arg : JSON.stringify(arg)).join(' ') }) }
  return { lines, info: keep('info'), warn: keep('warn'), debug: keep('debug') }
}

const LOST = /the Redis store cannot be reached; requests that need it get a 503 until it can$/
const BACK = /^the Redis store can be reached again$/

test('a Redis that is down does not prevent the start, and the log has the beginning and the end of each outage', needs('redis-server'), async (t) => {
  const port = await freePort()
  const log = keepingLog()
  const { client, close } = await within(1_500, connectRedis(parseRedisUrl(`redis://127.0.0.1:${port}`, 'url'), log))
  let attempts = 0
  client.on('reconnecting', () => { attempts++ })
  t.strictSame(log.lines.length, 1)
  t.match(log.lines[0], { level: 'warn', text: LOST })
  t.match(log.lines[0]?.text, 'ECONNREFUSED')
  const store = new RedisStore(client, { now: Date.now, maxBytes: 4_096, onCorrupt () {} })
  const failing = store.read('one').then(() => 'answers', ({ code }: { code: string }) => code)
  t.equal(await Promise.race([failing, turn().then(() => 'waits')]), 'HATCHECK_STORE_UNAVAILABLE', 'a call fails at once')

  // Without the lines about another reason: how a connection breaks whose server is killed depends on what it was doing.
  const turns = (): Array<typeof log.lines[number]> => log.lines.filter(({ text }) => LOST.test(text) || BACK.test(text))
  const server = await startRedis(t, { port })
  const backAfter: number[] = []
  for (const round of [1, 2, 3]) {
    const up = performance.now()
    await until('it is back', async () => await store.ping().then(() => true, () => false))
    backAfter.push(Math.round(performance.now() - up))
    t.equal(turns().length, 2 * round)
    t.match(turns().at(-1), { level: 'info', text: BACK })
    attempts = 0
    await server.stop()
    await until('several attempts have failed', () => attempts > 4)
    await t.rejects(store.read('one'), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: 'there is no connection' } })
    t.equal(turns().length, 2 * round + 1, 'whatever the number of attempts')
    t.match(turns().at(-1), { level: 'warn', text: LOST })
    await server.start()
  }
  await until('and again', async () => await store.ping().then(() => true, () => false))
  // Other work on the machine can only make it slower.
  t.ok(Math.min(...backAfter) < 1_000, `back after ${backAfter.join(', ')} ms`)
  const { retryStrategy } = (client as Redis).options
  for (let attempt = 1; attempt <= 50; attempt++) t.ok(Number(retryStrategy?.(attempt)) < 500, 'half a second between two attempts at most')
  const { length } = log.lines
  await close()
  await close()
  t.equal(log.lines.length, length, 'closing is no outage')
  await t.rejects(store.ping(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
})

/** A store on its own Redis, and the log of its connection. */
async function openStore (t: Test): Promise<{ server: RedisServer, log: ReturnType<typeof keepingLog>, client: Awaited<ReturnType<typeof connectRedis>>['client'], store: RedisStore }> {
  const server = await startRedis(t)
  const log = keepingLog()
  const { client, use: connection, close } = await connectRedis(parseRedisUrl(server.url, 'url'), log)
  t.teardown(close)
  return { server, log, client, store: new RedisStore(client, { now: () => recordOf().createdAt, maxBytes: 4_096, onCorrupt () {}, connection }) }
}

const REOPENED = { level: 'debug', text: 'an idle connection to Redis was closed; it is open again' }

test('an idle connection that is closed is opened again: no call fails and nothing is logged as a warning', needs('redis-server'), async (t) => {
  const { server, log, client, store } = await openStore(t)
  await store.create('one', recordOf())
  for (let round = 1; round <= 5; round++) {
    const closed = once(client, 'close')
    await server.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await closed
    t.strictSame(await Promise.all([store.read('one'), store.read('one')]), [recordOf(), recordOf()], 'calls wait for the connection')
    t.strictSame(log.lines, Array(round).fill(REOPENED))
  }

  const closed = once(client, 'close')
  await server.stop('SIGKILL')
  await closed
  await t.rejects(within(600, store.read('one')), { code: 'HATCHECK_STORE_UNAVAILABLE' }, 'within the deadline')
  await until('a real outage is a warning', () => log.lines.some(({ level }) => level === 'warn'), 1_500)
  await server.start()
  await until('it is back', async () => await store.ping().then(() => true, () => false), 1_500)
  t.strictSame(log.lines.slice(5).map(({ level }) => level), ['warn', 'info'])
})

/** Closes the connection while a call waits for its answer. */
async function closeDuringCall (t: Test, server: RedisServer, client: Redis | Cluster, store: RedisStore): Promise<void> {
  await server.client.client('PAUSE', 1_000)
  const call = store.read('one')
  call.catch(() => {})
  const { commandQueue, stream } = client as unknown as { commandQueue: { length: number }, stream: Socket }
  await until('the call is sent', () => commandQueue.length > 0)
  stream.destroy()
  await t.rejects(call, { code: 'HATCHECK_STORE_UNAVAILABLE' })
}

test('the log names each reason for which Redis cannot be reached, once in each outage', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const allow = async (password: string): Promise<void> => { await server.client.call('ACL', 'SETUSER', 'hatcheck', 'reset', 'on', `>${password}`, '~*', '+@all') }
  await allow('secret')
  const log = keepingLog()
  const { client, use: connection, close } = await connectRedis(parseRedisUrl(`redis://hatcheck:secret@127.0.0.1:${server.port}`, 'url'), log)
  t.teardown(close)
  const store = new RedisStore(client, { now: Date.now, maxBytes: 4_096, onCorrupt () {}, connection })
  let attempts = 0
  client.on('reconnecting', () => { attempts++ })
  const severalAttempts = async (): Promise<void> => {
    const before = attempts
    await until('several attempts have failed', () => attempts > before + 1)
  }
  const { lines } = log
  for (const outage of ['first', 'second']) {
    lines.length = 0
    await until('it is reached', async () => await store.ping().then(() => true, () => false))
    await allow('another')
    await closeDuringCall(t, server, client, store)
    await until('the log warns', () => lines.length > 0)
    await severalAttempts()
    await server.stop()
    await until('the log has the new reason', () => lines.some(({ text }) => text.includes('ECONNREFUSED')))
    await severalAttempts()
    await server.start()
    await allow('another')
    await severalAttempts()
    const [first, ...others] = lines
    t.match(first, { level: 'warn', text: LOST })
    t.match(first?.text, /WRONGPASS/, `${outage}: rather than that a connection was closed`)
    for (const { level, text } of others) t.match(`${level} ${text}`, /^warn .+ the Redis store still cannot be reached$/)
    for (const reason of ['WRONGPASS', 'ECONNREFUSED']) t.equal(lines.filter(({ text }) => text.includes(reason)).length, 1, reason)
    await allow('secret')
    await until('it is back', () => BACK.test(lines.at(-1)?.text ?? ''))
  }
})

test('if a connection is closed during a call, the call fails and the log has a warning', needs('redis-server'), async (t) => {
  const { server, log, client, store } = await openStore(t)
  await store.ping()
  await closeDuringCall(t, server, client, store)
  await until('the log warns', () => LOST.test(log.lines[0]?.text ?? ''), 3_000)
})

for (const [reason, database] of [['it does not exist', 99], ['the user may not select it', 2]] as const) {
  test(`a database that cannot be selected is an outage, and no other database is used: ${reason}`, needs('redis-server'), async (t) => {
    const server = await startRedis(t)
    await server.client.call('ACL', 'SETUSER', 'hatcheck', 'on', '>secret', '~*', '+@all', ...database === 2 ? ['-select'] : [])
    const log = keepingLog()
    const open = (): ReturnType<typeof connectRedis> => connectRedis(parseRedisUrl(`redis://hatcheck:secret@127.0.0.1:${server.port}/${database}`, 'url'), log)
    let opened = await open()
    t.teardown(async () => { await opened.close() })
    // On a busy machine the refusal may be late, which is another reason.
    while (log.lines[0]?.text.includes('no connection within') === true) {
      await opened.close()
      log.lines.length = 0
      opened = await open()
    }
    const { client, use: connection } = opened
    const store = new RedisStore(client, { now: Date.now, maxBytes: 4_096, onCorrupt () {}, connection })
    for (let tries = 0; tries < 20; tries++) {
      await t.rejects(store.create('one', recordOf()), { code: 'HATCHECK_STORE_UNAVAILABLE' })
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
    t.equal(await server.client.dbsize(), 0, 'nothing is in database 0')
    t.match(log.lines, [{ level: 'warn', text: LOST }])
    t.match(log.lines[0]?.text, /DB index is out of range|NOPERM/)
    t.equal(log.lines.length, 1)
    if (database === 99) return
    await server.client.call('ACL', 'SETUSER', 'hatcheck', '+select')
    await until('with the permission it is back', async () => await store.ping().then(() => true, () => false), 1_500)
    await store.create('one', recordOf())
    t.equal(await server.client.dbsize(), 0)
  })
}

test('the calls of one turn of the event loop reach Redis together', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  const client = await connect(t, server.url)
  const readsOfRedis = async (): Promise<number> => Number(/^total_reads_processed:(\d+)/m.exec(await server.client.info('stats'))?.[1])
  for (const turn of ['first', 'next']) {
    const before = await readsOfRedis()
    await Promise.all(Array.from({ length: 100 }, () => client.exists('hatcheck:x')))
    const reads = await readsOfRedis() - before
    t.ok(reads < 10, `${turn} turn: ${reads} reads for 100 calls`)
  }
})

test('where idle connections are closed early, a PING keeps them open', needs('redis-server'), async (t) => {
  const { server, log, client, store } = await openStore(t)
  await store.create('one', recordOf())
  await server.client.config('SET', 'timeout', '1')
  const keeping = setInterval(() => { server.client.ping().catch(() => {}) }, 300)
  t.teardown(() => { clearInterval(keeping) })
  await once(client, 'close')
  await once(client, 'ready')
  let closes = 0
  client.on('close', () => { closes++ })
  for (const ms of [2_300, 3_700]) {
    for (let isOver = false; !isOver;) {
      closes = 0
      let record: unknown
      const delay = await longestDelay(async () => {
        await new Promise((resolve) => { setTimeout(resolve, ms) })
        record = await store.read('one').catch(() => null)
      })
      isOver = delay < 500 || (closes === 0 && record !== null)
      if (isOver) {
        t.strictSame(record, recordOf())
        t.equal(closes, 0, 'once the server\'s timeout is known')
      } else {
        // A process that stands still this long sends no PING.
        await until('it is back', async () => await store.ping().then(() => true, () => false))
        log.lines.splice(1)
      }
    }
  }
  t.strictSame(log.lines, [REOPENED])
})

test('a client that is closed sends no further PING, even if its nodes close later', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  const elapsed = performance.now.bind(performance)
  t.teardown(() => {
    mock.timers.reset()
    performance.now = elapsed
  })
  let pings = 0
  const node = Object.assign(new EventEmitter(), { status: 'ready', async ping () { pings++ } })
  const client = Object.assign(new EventEmitter(), { isCluster: true, nodes: () => [node] })
  const idle = new IdleConnections(client as never, { onReopened () {}, onLost () {} })
  client.emit('+node', node)
  client.emit('ready')
  mock.timers.tick(20_000)
  t.equal(pings, 1)
  idle.stop()
  performance.now = () => elapsed() + 10_000
  node.emit('close')
  mock.timers.tick(60_000)
  t.equal(pings, 1)
})

test('the password is in no log line and in no error', needs('redis-server'), async (t) => {
  const server = await startRedis(t, { args: ['--requirepass', 'right'], connection: { password: 'right' } })
  for (const credentials of [':hunter2', 'harry:hunter2', 'default:right']) {
    const log = keepingLog()
    const { client, close } = await connectRedis(parseRedisUrl(`redis://${credentials}@127.0.0.1:${server.port}`, 'url'), log)
    t.teardown(close)
    const outcome = await new RedisAccounts(client).read('harry').catch((error: unknown) => error)
    if (credentials === 'default:right') {
      t.equal(outcome, null)
      t.strictSame(log.lines, [])
    } else {
      t.match(outcome, { code: 'HATCHECK_STORE_UNAVAILABLE' })
      t.match(log.lines, [{ level: 'warn', text: /WRONGPASS/ }])
      t.notMatch(JSON.stringify([log.lines, outcome, String((outcome as Error).cause)]), 'hunter2')
    }
  }
})

test('an eviction policy that can drop live keys is logged as a warning, once', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  for (const [policy, warnings] of [['noeviction', 0], ['volatile-ttl', 0], ['volatile-lru', 1], ['allkeys-lru', 1]] as const) {
    await server.client.config('SET', 'maxmemory-policy', policy)
    const log = keepingLog()
    const { client, close } = await connectRedis(parseRedisUrl(server.url, 'url'), log)
    // Redis answers in order: by then, the question for the policy is answered as well.
    await client.ping()
    await turn()
    await close()
    t.equal(log.lines.length, warnings, policy)
    if (warnings > 0) t.match(log.lines[0], { level: 'warn', text: `maxmemory-policy of Redis is ${policy}` })
  }
})

test('after a failover, a demoted primary answers 503 to writes, which the log tells once, and works once it is primary again', needs('redis-server'), async (t) => {
  const { server, log, client, store } = await openStore(t)
  await store.create('one', recordOf())
  await server.client.replicaof('127.0.0.1', await freePort())
  const touch = async (): Promise<void> => {
    await t.rejects(store.touch('one', 0, 0), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    await turn()
  }
  const reopened = new AbortController()
  client.once('ready', () => { reopened.abort() })
  await t.rejects(store.touch('one', 0, 0), { cause: { message: /^READONLY/ } })
  // Calls fail all the while, so no connection is closed for idleness.
  while (!reopened.signal.aborted) await touch()
  for (let i = 0; i < 10; i++) {
    await until('it is connected', () => client.status === 'ready')
    await touch()
  }
  t.match(log.lines.map(({ level }) => level), ['warn', 'info'])
  t.match(log.lines[0]?.text, /READONLY.*the Redis store cannot be reached/)
  t.strictSame(await store.read('one'), recordOf(), 'reads continue')
  await server.client.replicaof('NO', 'ONE')
  await until('it continues', async () => await store.touch('one', 0, 0).catch(() => false), 1_000)
})

test('a sentinel whose answer is not an address is an outage that ends with the next answer', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  let port = 'none'
  const sentinel = createServer((socket) => {
    socket.on('error', () => {}).on('data', (data) => {
      for (const command of String(data).split(/(?=\*\d+\r\n)/)) {
        const isQuestion = command.includes('get-master-addr-by-name')
        socket.write(isQuestion ? `*2\r\n$9\r\n127.0.0.1\r\n$${port.length}\r\n${port}\r\n` : command.includes('sentinels') ? '*0\r\n' : '-ERR unknown command\r\n')
      }
    })
  }).listen(0, '127.0.0.1')
  t.teardown(() => sentinel.close())
  await once(sentinel, 'listening')
  const log = keepingLog()
  const { client, close } = await connectRedis(parseRedisUrl(`redis+sentinel://127.0.0.1:${(sentinel.address() as AddressInfo).port}/main`, 'url'), log)
  t.equal(client.status, 'end', 'the client has given up')
  t.match(log.lines, [{ level: 'warn', text: LOST }])
  port = String(server.port)
  await until('it is there', () => client.status === 'ready')
  t.match(log.lines.slice(1), [{ level: 'warn', text: /All sentinels are unreachable\."/ }, { level: 'info', text: BACK }])
  await close()
  t.equal(log.lines.length, 3)
  await until('it stays closed', () => client.status === 'end')
})

test('a list over a cluster in which no node serves a slot fails, and is never short', needs('redis-server'), async (t) => {
  const node = await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--cluster-port', String(await freePort()), '--cluster-require-full-coverage', 'no'] })
  await node.client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '99', '101', '16383')
  await until('the cluster serves', async () => /cluster_state:ok/.test(await node.client.cluster('INFO')))
  const { client, close } = await connectRedis(parseRedisUrl(`redis+cluster://127.0.0.1:${node.port}`, 'url'), keepingLog())
  t.teardown(close)
  const store = new RedisStore(client, { now: Date.now, maxBytes: 4_096, onCorrupt () {}, deadlineMs: 5_000 })
  await t.rejects(store.count(), { code: 'HATCHECK_STORE_UNAVAILABLE', cause: { message: 'not every primary of the cluster is known' } })
  await node.client.cluster('ADDSLOTS', 100)
  await until('the client knows of it', async () => await store.count().catch(() => null) === 0)
})

test('hatcheck works in its own database, as a user with only the documented rights', needs('redis-server'), async (t) => {
  const server = await startRedis(t)
  await server.client.acl('SETUSER', 'app', 'on', '>secret', '~hatcheck:*', '+@read', '+@write', '+@scripting', '+info', '+ping', '+select')
  const log = keepingLog()
  const { client, close } = await connectRedis(parseRedisUrl(`redis://app:secret@127.0.0.1:${server.port}/3`, 'url'), log)
  t.teardown(close)
  const store = new RedisStore(client, { now: () => recordOf().createdAt, maxBytes: 4_096, onCorrupt () {} })
  const accounts = new RedisAccounts(client)
  t.equal(await store.create('one', recordOf({ user: 'Harry' })), true)
  t.equal(await accounts.create('harry', { name: 'Harry', passwordHash: 'x', createdAt: 1, disabled: false }), true)
  t.match(await server.client.info('keyspace'), /db3:keys=3/)
  t.equal(await store.patch('one', changesOf({ set: { c: '3' } })), true)
  t.equal(await store.touch('one', 1, 1), true)
  t.equal((await store.ofUser('Harry')).length, 1)
  t.equal(await store.count(), 1)
  t.equal(await store.removeOfUser('Harry'), 1)
  t.equal((await accounts.list()).length, 1)
  await store.ping()
  t.strictSame(log.lines, [])
})

test('ioredis is loaded only for a Redis URL', (t) => {
  const sources = readdirSync(join(checkout, 'plugins'), { recursive: true }).map(String).filter((file) => file.endsWith('.ts'))
  const importing = sources.filter((file) => /^import (?!type ).*'ioredis'/m.test(readFileSync(join(checkout, 'plugins', file), 'utf8')))
  t.strictSame(importing, [])
  t.end()
})

test('TLS checks the certificate', needs('redis-server'), async (t) => {
  const { folder, file, certificateFor } = authority(t)
  const { cert, key } = certificateFor('localhost')
  const port = await freePort()
  const plain = await freePort()
  await startRedis(t, { port: plain, folder, args: ['--tls-port', String(port), '--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', file('ca.crt'), '--tls-auth-clients', 'no'] })
  const trusting = { NODE_EXTRA_CA_CERTS: file('ca.crt') }
  t.strictSame(await ping(t, `rediss://localhost:${port}`, trusting), { stdout: 'undefined\n', code: 0 })
  t.match(await ping(t, `rediss://127.0.0.1:${port}`, trusting), { stdout: /^HATCHECK_STORE_UNAVAILABLE.*does not match certificate/ }, 'the name is checked')
  t.match(await ping(t, `rediss://localhost:${port}`, {}), { stdout: /^HATCHECK_STORE_UNAVAILABLE.*certificate/ }, 'the issuer is checked')
  t.match(await ping(t, `rediss://localhost:${port}`, { NODE_TLS_REJECT_UNAUTHORIZED: '0' }), { stdout: /^HATCHECK_STORE_UNAVAILABLE.*certificate/ }, 'always')
  t.match(await ping(t, `rediss://localhost:${plain}`, trusting, 1), { stdout: /^HATCHECK_STORE_UNAVAILABLE/ })
})

test('TLS names the host, so that a server or a proxy with several certificates shows the right one', needs('redis-server'), async (t) => {
  const { folder, file, certificateFor } = authority(t)
  const [own, other] = ['localhost', 'other.example.com'].map((name) => {
    const { cert, key } = certificateFor(name)
    return { cert: readFileSync(cert), key: readFileSync(key) }
  })
  const port = await freePort()
  const redis = await startRedis(t, {
    folder,
    args: ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort()), '--cluster-announce-hostname', 'localhost', '--cluster-preferred-endpoint-type', 'hostname', '--cluster-announce-port', String(port)]
  })
  await redis.client.cluster('ADDSLOTSRANGE', 0, 16_383)
  await until('the cluster is up', async () => (await redis.client.cluster('INFO')).includes('cluster_state:ok'), 10_000)
  const proxy = createTlsServer({ ...other, SNICallback: (name, done) => { done(null, createSecureContext(name === 'localhost' ? own : other)) } }, (socket) => {
    const behind = createConnection(redis.port, '127.0.0.1')
    pipeline(socket, behind, socket, () => {})
  })
  t.teardown(() => { proxy.close() })
  await once(proxy.listen(port, 'localhost'), 'listening')
  for (const url of [`rediss://localhost:${port}`, `rediss+cluster://localhost:${port}`]) {
    t.strictSame(await ping(t, url, { NODE_EXTRA_CA_CERTS: file('ca.crt') }), { stdout: 'undefined\n', code: 0 }, url)
  }
})

/** A certificate authority of the test. */
function authority (t: Test) {
  const folder = t.testdir()
  const file = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => { execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' }) }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '2']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=hatcheck test CA')
  return {
    folder,
    file,
    /** Makes a certificate, and returns its files. */
    certificateFor (name: string): { cert: string, key: string } {
      openssl('req', '-x509', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-addext', 'basicConstraints=critical,CA:FALSE', '-CA', 'ca.crt', '-CAkey', 'ca.key')
      return { cert: file(`${name}.crt`), key: file(`${name}.key`) }
    }
  }
}

/** Opens a store in its own process, with this environment, again if the connection is late, and returns the outcome. */
async function ping (t: Test, url: string, env: Record<string, string>, tries = 20): Promise<{ stdout: string, code: number | null }> {
  const child = spawn(process.execPath, [compiledFixture('store-ping'), url, String(tries)],
    { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env['PATH'], ...env } })
  t.teardown(() => { child.kill() })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
  return await new Promise((resolve) => { child.once('close', (code) => { resolve({ stdout, code }) }) })
}
