import type { Cluster } from 'ioredis'
import { once } from 'node:events'
import tap, { test, type Test } from 'tap'
import { RedisAccounts } from '../../plugins/storage/redis/accounts.js'
import { RedisStore } from '../../plugins/storage/redis/sessions.js'
import { recordOf, storeContract } from '../../plugins/store/contract/index.js'
import { logInto } from '../apps/log-lines.js'
import { listen, loggedIn, statuses, underLoad, type Seen } from '../apps/visitors.js'
import { needs } from '../helper.js'
import { connect, startRedisCluster, type RedisServer } from '../programs/redis.js'
import { loopTime, pause, until } from '../time/loop-clock.js'

// Six servers on a busy machine need time to find one another.
tap.setTimeout(400_000)

test('hatcheck works in a Redis cluster', needs('redis-server'), async (t) => {
  const cluster = await startRedisCluster(t)
  const roleOf = async ({ client }: RedisServer): Promise<string> => (await client.role())[0] as string
  const idOf = async ({ client }: RedisServer): Promise<string> => await client.cluster('MYID') as string
  const primaries = async (): Promise<RedisServer[]> => {
    const roles = await Promise.all(cluster.nodes.map((node) => roleOf(node).catch(() => 'down')))
    return cluster.nodes.filter((_, i) => roles[i] === 'master')
  }
  const empty = async (): Promise<void> => { await Promise.all((await primaries()).map(({ client }) => client.flushall())) }

  await t.test('the Redis store keeps the contract', async (t) => {
    const client = await connect(t, cluster.url)
    storeContract((name, run) => t.test(name, run), async (options) => {
      await empty()
      return new RedisStore(client, { ...options, onCorrupt () {}, deadlineMs: 5_000 })
    }, { sweeps: false })
  })

  await t.test('the accounts of every node are listed', async (t) => {
    await empty()
    const accounts = new RedisAccounts(await connect(t, cluster.url), { deadlineMs: 5_000 })
    const names = Array.from({ length: 30 }, (_, i) => `name${String(i).padStart(2, '0')}`)
    for (const name of names) await accounts.create(name, { name, passwordHash: 'x', createdAt: 1, disabled: false })
    t.strictSame((await accounts.list()).map(({ name }) => name), names)
  })

  await t.test('while the connection to a primary is lost, a list and a count fail and are never short', async (t) => {
    await empty()
    const client = await connect(t, cluster.url) as Cluster
    const deadlineMs = 5_000
    const [accounts, store] = [new RedisAccounts(client, { deadlineMs }), new RedisStore(client, { now: Date.now, maxBytes: 4_096, onCorrupt () {}, deadlineMs })]
    const names = Array.from({ length: 30 }, (_, i) => `name${String(i).padStart(2, '0')}`)
    for (const name of names) {
      await accounts.create(name, { name, passwordHash: 'x', createdAt: 1, disabled: false })
      await store.create(name, recordOf({}))
    }
    const lost = once(client, '-node')
    client.nodes('master')[0]?.disconnect()
    await lost
    await t.rejects(accounts.list(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    await t.rejects(store.count(), { code: 'HATCHECK_STORE_UNAVAILABLE' })
    await until('it is back', async () => await accounts.list().then((list) => list.length === names.length, () => false), 2_000)
    t.equal(await store.count(), names.length)
  })

  await t.test('nodes that close idle connections cause no errors', async (t) => {
    await empty()
    const warnings: string[] = []
    const { url } = await listen(t, { sessionStore: cluster.url }, logInto(warnings, 'warn'))
    const visitors = await loggedIn(url, 12)
    const limitIdle = async (seconds: string): Promise<void> => { await Promise.all(cluster.nodes.map(({ client }) => client.config('SET', 'timeout', seconds))) }
    const using = setInterval(() => { for (const { client } of cluster.nodes) client.ping().catch(() => {}) }, 300)
    t.teardown(() => { clearInterval(using) })
    await limitIdle('1')
    for (const ms of [2_300, 1_300, 3_100]) {
      await pause(ms)
      const answers = await Promise.all(visitors.map((visitor) => visitor.send('GET', '/')))
      t.strictSame(answers.filter(({ status }) => status !== 200), [])
    }
    await limitIdle('0')
    t.strictSame(warnings, [])
  })

  await t.test('no request fails while slots move under load', async (t) => {
    await empty()
    const { url } = await listen(t, { sessionStore: cluster.url })
    const visitors = await loggedIn(url, 24)
    const [from, to] = await primaries() as [RedisServer, RedisServer]
    await underLoad(visitors, async () => {
      await pause(200)
      // One slot that certainly holds a visitor's session, and many more.
      await cluster.cli('--cluster', 'reshard', `127.0.0.1:${from.port}`, '--cluster-from', await idOf(from), '--cluster-to', await idOf(to), '--cluster-slots', '2500', '--cluster-pipeline', '100', '--cluster-yes')
      await pause(1_500)
    })
    t.comment(JSON.stringify(statuses(visitors)))
    const isLate = fewLate(t, visitors.flatMap(({ answers }) => answers))
    for (const { answers, name } of visitors) {
      t.strictSame(answers.filter((answer) => !isLate(answer) && (answer.status !== 200 || answer.user !== name || answer.cookie !== 'keeps')), [])
      const counts = answers.flatMap(({ count }) => count ?? [])
      t.strictSame(counts, counts.toSorted((a, b) => a - b), 'no write is lost')
    }
    t.ok((await from.commandCalls()).has('migrate'), 'sessions have moved')
  })

  await t.test('when a primary dies, its replica takes over, and the service continues', async (t) => {
    await empty()
    const { url, fastify } = await listen(t, { sessionStore: cluster.url })
    const visitors = await loggedIn(url, 24)
    const [dying] = await primaries() as [RedisServer]
    const keysOf = async (nodes: readonly RedisServer[]): Promise<number> => (await Promise.all(nodes.map(({ client }) => client.dbsize()))).reduce((sum, keys) => sum + keys)
    await until('the replicas have the sessions', async () => await keysOf(cluster.nodes) === 2 * await keysOf(await primaries()))
    let died = 0
    let backAfter = 0
    let settled: number[] = []
    await underLoad(visitors, async () => {
      await pause(200)
      await dying.stop('SIGKILL')
      died = loopTime()
      await until('a replica has taken over', async () => (await primaries()).length === 3, 15_000)
      const tookOver = loopTime()
      t.comment(`a replica took over after ${Math.round(tookOver - died)} ms`)
      await until('every visitor is served', async () => {
        const answers = await Promise.all(visitors.map((visitor) => visitor.send('GET', '/')))
        return answers.every(({ status }) => status === 200)
      }, 5_000)
      backAfter = loopTime() - tookOver
      t.comment(`and everyone was served ${Math.round(backAfter)} ms later`)
      settled = visitors.map(({ answers }) => answers.length)
      await pause(1_500)
    })
    t.ok(backAfter < 1_500)
    t.comment(JSON.stringify(statuses(visitors)))
    const isLate = fewLate(t, visitors.flatMap(({ answers }, i) => answers.slice(settled[i])))
    for (const [i, { answers, name }] of visitors.entries()) {
      t.strictSame(answers.slice(settled[i]).filter((answer) => !isLate(answer) && answer.status !== 200), [], 'without errors from then on')
      t.strictSame(answers.filter(({ status, cookie, waitedMs }) => (status !== 200 && status !== 503) || cookie !== 'keeps' || waitedMs > 1_000), [])
      t.ok(answers.every(({ user }) => user === undefined || user === name), 'no user is logged out or gets another\'s session')
    }
    await dying.start()
    await until('the former primary returns as a replica', async () => await roleOf(dying) === 'slave', 10_000)
    await pause(1_200)
    t.equal((await visitors[0]?.send('GET', '/'))?.status, 200)
    t.equal(await fastify.sessions.store.removeOfUser('visitor0'), 1)
    t.match(await visitors[0]?.send('GET', '/'), { status: 200, user: null })
  })

  await t.test('no command had keys in two slots', async (t) => {
    const errors = await Promise.all(cluster.nodes.map(({ client }) => client.info('errorstats')))
    t.notMatch(errors.join(''), 'CROSSSLOT')
    const calls = await Promise.all(cluster.nodes.map((node) => node.commandCalls()))
    t.ok(calls.every((of) => !of.has('keys')))
  })
})

/** Returns whether an answer is late, and fails the test if many are: on a busy machine Redis misses the deadline of a request now and then. */
function fewLate (t: Test, answers: readonly Seen[]): (answer: Seen) => boolean {
  const isLate = ({ status, tookMs }: Seen): boolean => status === 503 && tookMs >= 250
  const late = answers.filter(isLate).length
  t.ok(late < answers.length / 100, `${late} of ${answers.length} requests were late`)
  return isLate
}
