import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { listen, loggedIn, statuses, underLoad } from '../apps/visitors.js'
import { needs } from '../helper.js'
import { freePort } from '../processes/free-port.js'
import { startRedis } from '../programs/redis.js'
import { until } from '../time/loop-clock.js'

test('behind Sentinel, a replica takes over when the primary dies, and the service continues', needs('redis-server'), async (t) => {
  const root = t.testdir()
  const folder = (name: string): string => {
    mkdirSync(join(root, name))
    return join(root, name)
  }
  const primary = await startRedis(t, { folder: folder('primary'), args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await startRedis(t, { folder: folder('replica'), args: ['--replicaof', '127.0.0.1', String(primary.port)] })
  await until('the replica is in step', async () => /master_link_status:up/.test(await replica.client.info('replication')))
  const own = folder('sentinel')
  const config = join(own, 'sentinel.conf')
  writeFileSync(config, `sentinel monitor main 127.0.0.1 ${primary.port} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 4000\n`)
  const sentinel = await startRedis(t, { folder: own, config, args: ['--sentinel'] })
  await until('the sentinel knows the replica', async () => /slaves=1/.test(await sentinel.client.info('sentinel')))

  const { url } = await listen(t, { sessionStore: `redis+sentinel://127.0.0.1:${await freePort()},127.0.0.1:${sentinel.port}/main` })
  const visitors = await loggedIn(url, 8)
  await until('the replica has the sessions', async () => await replica.client.dbsize() === await primary.client.dbsize())
  await underLoad(visitors, async () => {
    await primary.stop('SIGKILL')
    const died = performance.now()
    await until('the replica has taken over', async () => await replica.client.role().then(([role]) => role === 'master', () => false), 15_000)
    const tookOver = performance.now()
    await until('every visitor is served', async () => (await Promise.all(visitors.map((visitor) => visitor.send('GET', '/')))).every(({ status }) => status === 200), 5_000)
    t.comment(`took over after ${Math.round(tookOver - died)} ms, served ${Math.round(performance.now() - tookOver)} ms later`)
  })
  t.comment(JSON.stringify(statuses(visitors)))
  for (const { answers, name } of visitors) {
    t.strictSame(answers.filter(({ status, cookie, waitedMs }) => (status !== 200 && status !== 503) || cookie !== 'keeps' || waitedMs > 1_000), [])
    t.ok(answers.every(({ user }) => user === undefined || user === name))
    t.match(answers.at(-1), { status: 200, user: name })
  }
})
