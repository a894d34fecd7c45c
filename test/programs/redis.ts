import { Redis, type Cluster, type RedisOptions } from 'ioredis'
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { parseRedisUrl } from '../../plugins/config/redis-url.js'
import { connectRedis } from '../../plugins/storage/redis/client.js'
import { freePort } from '../processes/free-port.js'
import type { Lifetime } from '../processes/scope.js'
import { until } from '../time/loop-clock.js'

const run = promisify(execFile)

/** A real redis-server on loopback, on a port of its own. It ends with the test. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  /** The folder with its persistent data. */
  readonly folder: string
  /** A client for the test itself. */
  readonly client: Redis
  /** The number of calls of each command so far, including calls by scripts. */
  commandCalls (): Promise<Map<string, number>>
  /** Ends the process; `SIGKILL` ends it at once. */
  stop (signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same port and folder, and waits until it answers. */
  start (): Promise<void>
  signal (signal: NodeJS.Signals): void
}

export interface RedisServerOptions {
  port?: number
  folder?: string
  /** A configuration file. */
  config?: string
  /** More arguments of redis-server. */
  args?: readonly string[]
  /** How the test's own client connects, if the port is not enough. */
  connection?: Pick<RedisOptions, 'tls' | 'password'>
}

export async function startRedis (t: Lifetime, { port: wanted, folder = t.testdir(), config, args = [], connection = {} }: RedisServerOptions = {}): Promise<RedisServer> {
  const port = wanted ?? await freePort()
  let child: ChildProcess | null = null
  const client = new Redis(port, '127.0.0.1', { retryStrategy: () => 20, maxRetriesPerRequest: 0, enableOfflineQueue: false, protocol: 2, disableClientInfo: true, ...connection })
  client.on('error', () => {})

  async function start (): Promise<void> {
    const started = spawn('redis-server', [...config === undefined ? [] : [config], '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    started.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
    child = started
    await until('redis-server answers', async () => {
      if (started.exitCode !== null) throw new Error(`redis-server ended:\n${output}`)
      return client.status === 'ready' && await client.ping().then(() => true, () => false)
    })
  }

  async function stop (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const end = once(child, 'exit')
    child.kill(signal)
    // A stopped process handles no other signal.
    child.kill('SIGCONT')
    await end
  }

  t.teardown(async () => {
    client.disconnect()
    await stop()
  })
  await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    folder,
    client,
    commandCalls: async () => new Map([...(await client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g)]
      .map(([, name = '', calls]) => [name, Number(calls)])),
    stop,
    start,
    signal (signal) { child?.kill(signal) }
  }
}

/** A cluster of three primaries with a replica each. */
export interface RedisCluster {
  readonly nodes: readonly RedisServer[]
  readonly url: string
  /** redis-cli against this cluster. */
  cli (...args: string[]): Promise<string>
}

export async function startRedisCluster (t: Test): Promise<RedisCluster> {
  const folder = t.testdir()
  const nodes = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
    const own = join(folder, `node${i}`)
    mkdirSync(own)
    return await startRedis(t, {
      folder: own,
      args: ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort()), '--cluster-node-timeout', '2500', '--cluster-replica-validity-factor', '0', '--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1']
    })
  }))
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
  await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes'])
  await until('every node knows the cluster', async () => (await Promise.all(nodes.map(({ client }) => client.cluster('INFO'))))
    .every((info) => /cluster_state:ok/.test(info) && /cluster_known_nodes:6/.test(info)))
  await until('every replica is in step', async () => (await Promise.all(nodes.map(({ client }) => client.info('replication'))))
    .every((info) => /role:master/.test(info) ? /state=online/.test(info) : /master_link_status:up/.test(info)))
  // The rights that docs/redis.md names, and no others.
  await Promise.all(nodes.map(({ client }) => client.acl('SETUSER', 'app', 'on', '>secret', '~hatcheck:*', '+@read', '+@write', '+@scripting', '+info', '+ping', '+cluster', '+asking', '+readonly', '+readwrite')))
  return {
    nodes,
    url: `redis+cluster://app:secret@localhost:${nodes[0]?.port},${addresses.slice(1).join(',')}`,
    cli: async (...args) => (await run('redis-cli', ['-p', String(nodes[0]?.port), ...args])).stdout
  }
}

/** The client that hatcheck uses, closed with the test. */
export async function connect (t: Test, url: string, log = silentLog): Promise<Redis | Cluster> {
  const { client, close } = await connectRedis(parseRedisUrl(url, 'url'), log)
  t.teardown(close)
  return client
}

export const silentLog = { info () {}, warn () {} }
