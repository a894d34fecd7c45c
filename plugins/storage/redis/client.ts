import type { Cluster, ClusterOptions, CommonRedisOptions, Redis } from 'ioredis'
import { within } from '../../common/deadline.js'
import { unlessInstalled } from '../../common/not-installed.js'
import type { RedisTarget } from '../../config/redis-url.js'
import { plainError, type ConnectionUse } from '../common/bounded-calls.js'
import type { StorageLog } from '../common/storage.js'
import { IdleConnections } from './idle.js'
import { inTurns } from './turns.js'

/** An open connection to Redis. */
interface RedisConnection {
  readonly client: Redis | Cluster
  /** Must be told of every call over the connection. */
  readonly use: ConnectionUse
  /** Waits a moment for pending answers, and closes the connection. */
  close (): Promise<void>
}

/** How long a connection may take to open, in ms. After that it is given up and tried again. */
const CONNECT_MS = 2_000
/** How long a connection that owes an answer may stay silent, in ms. After that it is given up and tried again. */
const SILENCE_MS = 2_000
/** The longest time between two attempts to connect, in ms: the service is back within a second of the store's return. */
const LONGEST_BACKOFF_MS = 400
/** How often a cluster is asked which node has which slots, in ms, so that it is known also after a node has gone silent. */
const SLOTS_EVERY_MS = 1_000
/** The shortest time between two such questions, in ms, however many connections end. */
const SLOTS_APART_MS = 200
/** The shortest time between two log lines about one node of a cluster, in ms. */
const NODE_LOG_EVERY_MS = 60_000

/** What Redis would drop with its memory full, and the policies with which that does no harm. */
interface EvictionRisk {
  readonly harmless: readonly string[]
  readonly loss: string
}

/** With volatile-ttl the indexes by user, which live longest, go last. */
export const SESSIONS_EVICTED: EvictionRisk = { harmless: ['noeviction', 'volatile-ttl'], loss: 'drop sessions, and what says which sessions a user has' }

/** Sessions in cookies: what has ended is remembered for a time. */
export const ENDS_EVICTED: EvictionRisk = { harmless: ['noeviction'], loss: 'forget which sessions have ended, and copies of their cookies would be logged in again' }

/**
 * Connects to the target of a url. Returns once the connection is open or the first attempt has failed: a store that is down
 * does not keep the service from starting.
 *
 * @param risk what the log warns of if Redis may evict keys
 */
export async function connectRedis (target: RedisTarget, log: StorageLog, risk = SESSIONS_EVICTED): Promise<RedisConnection> {
  // It takes a while to load, and most applications do not need it.
  const { Cluster, Redis } = await import('ioredis').catch(unlessInstalled('ioredis'))
  const { kind, hosts, path, primary, tls } = target
  const options = optionsOf(target)
  const reconnecting = { retryStrategy: backOff, enableOfflineQueue: false }
  const secure = tls ? { tls: TLS } : {}
  const client = kind === 'cluster'
    ? new Cluster(hosts, { ...CLUSTER_OPTIONS, redisOptions: { ...options, ...secure } })
    : new (inTurns(Redis))({
      ...options,
      ...reconnecting,
      ...secure,
      ...kind === 'server' && hosts[0],
      ...kind === 'socket' && { path },
      ...kind === 'sentinel' && {
        sentinels: hosts,
        name: primary,
        sentinelRetryStrategy: backOff,
        sentinelCommandTimeout: CONNECT_MS,
        ...tls && { sentinelTLS: TLS, enableTLSForSentinelMode: true }
      }
    })
  client.on('error', (error) => {
    // Otherwise ioredis goes on in database 0, which may be that of another environment.
    if (commandOf(error) === 'select') client.disconnect(true)
  })
  const outages = logOutages(client, log)
  client.once('ready', () => { warnOfEviction(client, risk, log).catch(() => {}) })
  let stopAsking = (): void => {}
  if (isCluster(client)) {
    client.on('+node', (node: Redis) => { node.connect().catch(() => {}) })
    stopAsking = keepSlots(client)
  }
  await firstOutcome(client)
  return {
    client,
    use: outages.idle,
    async close () {
      outages.stop()
      stopAsking()
      await within(SILENCE_MS, client.quit()).catch(() => {})
      client.disconnect()
    }
  }
}

/** Whether a client is that of a cluster. */
export function isCluster (client: Redis | Cluster): client is Cluster {
  return client.isCluster
}

/**
 * Returns the servers that have all keys between them: the primaries of a cluster, or the one server.
 *
 * @throws Error while a primary is unknown: before the cluster has answered, and after a connection has ended.
 */
export async function primariesOf (client: Redis | Cluster): Promise<Redis[]> {
  if (!isCluster(client)) return [client]
  const primaries = client.nodes('master')
  const known = new Set(primaries.map(({ options: { host, port } }) => `${host}:${port}`))
  // Until the cluster has answered, the nodes are those of the url.
  if (client.status !== 'ready' || client.slots.some(([primary = '']) => !known.has(primary))) throw new Error('not every primary of the cluster is known')
  return primaries
}

const TLS = { rejectUnauthorized: true }

/**
 * Returns options under which nothing is sent twice: a command whose answer is lost may have been carried out, and a second
 * removal of a session would answer that it is missing. A command without a connection fails at once.
 */
function optionsOf ({ username, password, database }: RedisTarget) {
  return {
    ...username !== undefined && { username },
    ...password !== undefined && { password },
    db: database,
    protocol: 2,
    disableClientInfo: true,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: LONGEST_BACKOFF_MS,
    socketTimeout: SILENCE_MS,
    maxLoadingRetryTime: LONGEST_BACKOFF_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // A primary that has become a replica. Another attempt finds the new primary, if a name or a sentinel leads to it.
    reconnectOnError: (error) => error.message.startsWith('READONLY')
  } satisfies CommonRedisOptions & { disconnectTimeout: number }
}

const CLUSTER_OPTIONS: ClusterOptions = {
  enableOfflineQueue: false,
  scaleReads: 'master',
  clusterRetryStrategy: backOff,
  // See keepSlots.
  slotsRefreshInterval: 0,
  slotsRefreshTimeout: SLOTS_EVERY_MS,
  // See optionsOf. A command that the cluster redirects was not carried out, and is sent again.
  retryDelayOnFailover: 0,
  retryDelayOnClusterDown: 0,
  maxRedirections: 5,
  // A pipeline with a redirected write in it is not sent again: https://github.com/redis/ioredis#transaction-and-pipeline-in-cluster-mode
  enableAutoPipelining: false,
  // Certificates are issued for names.
  dnsLookup: (name, callback) => { callback(null, name) }
}

/**
 * Asks the cluster for its slots at intervals, and as soon as a connection to a node has ended, because ioredis drops such a
 * node until then. The timer of ioredis starts again after a `disconnect()` during a refresh, and keeps the process from ending.
 *
 * @returns a function that stops it.
 */
function keepSlots (client: Cluster): () => void {
  let askedAt = -Infinity
  let soon: NodeJS.Timeout | undefined
  const ask = (): void => {
    soon = undefined
    askedAt = performance.now()
    if (client.status === 'ready') client.refreshSlotsCache(() => {})
  }
  const timer = setInterval(ask, SLOTS_EVERY_MS).unref()
  const askSoon = (): void => {
    // A node that is down closes each connection at once.
    soon ??= setTimeout(ask, Math.max(0, askedAt + SLOTS_APART_MS - performance.now())).unref()
  }
  client.on('-node', askSoon)
  return () => {
    clearInterval(timer)
    clearTimeout(soon)
    client.off('-node', askSoon)
  }
}

/** Returns the time to the next attempt, in ms. The first comes almost at once: the connection may have been closed for idleness. */
function backOff (attempt: number): number {
  return Math.min(50 * (attempt - 1), LONGEST_BACKOFF_MS) + Math.random() * Math.min(10 * attempt, 50)
}

/** Logs one line when the store is lost and one when it is back, however many attempts lie between. */
function logOutages (client: Redis | Cluster, log: StorageLog): { idle: IdleConnections, stop: () => void } {
  let isDown = false
  let isStopped = false
  const down = (error?: Error): void => {
    if (isDown || isStopped) return
    isDown = true
    log.warn({ reason: error === undefined ? 'the connection was closed' : reasonOf(error) }, 'the Redis store cannot be reached; what needs it answers 503 until it can')
  }
  const idle = new IdleConnections(client, {
    onReopened () { log.debug?.('an idle connection to Redis was closed; it is open again') },
    onLost: down
  })
  client.on('error', down)
  client.on('close', () => { if (!isStopped && !idle.closed()) down() })
  client.on('ready', () => {
    if (isDown) log.info('the Redis store can be reached again')
    isDown = false
  })
  const toldAt = new Map<string, number>()
  client.on('node error', (error: Error, address: string) => {
    const now = performance.now()
    if (isStopped || now - (toldAt.get(address) ?? -Infinity) < NODE_LOG_EVERY_MS) return
    toldAt.set(address, now)
    log.warn({ node: address, reason: reasonOf(error) }, 'a node of the Redis cluster cannot be reached')
  })
  return {
    idle,
    stop () {
      isStopped = true
      idle.stop()
    }
  }
}

/** Returns the command that Redis has answered with this error; undefined for any other error. */
function commandOf (error: Error): string | undefined {
  return (error as { command?: { name: string } }).command?.name
}

function reasonOf (error: Error): string {
  const { lastNodeError } = error as { lastNodeError?: Error }
  return plainError(lastNodeError ?? error).message
}

async function warnOfEviction (client: Redis | Cluster, { harmless, loss }: EvictionRisk, log: StorageLog): Promise<void> {
  const memory = await Promise.all((await primariesOf(client)).map((node) => node.info('memory')))
  const policies = memory.map((text) => /^maxmemory_policy:(\S+)/m.exec(text)?.[1])
  const policy = policies.find((policy) => policy !== undefined && !harmless.includes(policy))
  if (policy !== undefined) log.warn(`maxmemory-policy of Redis is ${policy}: with its memory full it would ${loss}. Set it to noeviction.`)
}

async function firstOutcome (client: Redis | Cluster): Promise<void> {
  const outcome = new Promise<void>((resolve) => {
    client.once('ready', resolve)
    client.once('error', () => { resolve() })
  })
  await within(CONNECT_MS, outcome).catch(() => {})
  // A cluster is ready once its nodes are known; the connections to them take a moment more.
  if (client.status === 'ready') await within(CONNECT_MS, primariesOf(client).then((nodes) => Promise.all(nodes.map((node) => node.ping())))).catch(() => {})
}
