import type { Cluster, ClusterOptions, CommonRedisOptions, Redis } from 'ioredis'
import { isIP } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { within } from '../../common/deadline.js'
import { unlessInstalled } from '../../common/not-installed.js'
import type { RedisTarget } from '../../config/redis-url.js'
import type { ConnectionUse } from '../common/bounded-calls.js'
import type { StorageLog } from '../common/storage.js'
import { Demotion } from './demotion.js'
import { SESSIONS_EVICTED, warnOfEviction } from './eviction.js'
import { isCluster, primariesOf } from './nodes.js'
import { logOutages } from './outages.js'
import { keepSlots, SLOTS_EVERY_MS } from './slots.js'
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

/**
 * Connects to the target of a url. Returns once the connection is open or the first attempt has failed: a store that is down
 * does not keep the service from starting.
 *
 * @param risk what the log warns of if Redis may evict keys
 */
export async function connectRedis (target: RedisTarget, log: StorageLog, risk = SESSIONS_EVICTED): Promise<RedisConnection> {
  const demotion = new Demotion()
  // It takes a while to load, and most applications do not need it.
  const client = createClient(await import('ioredis').catch(unlessInstalled('ioredis')), target, demotion)
  client.on('error', (error) => {
    // Redis has refused to select the database. Otherwise ioredis goes on in database 0, which may be that of another environment.
    if ((error as { command?: { name: string } }).command?.name === 'select') client.disconnect(true)
  })
  const outages = logOutages(client, log, demotion)
  client.once('ready', () => { warnOfEviction(client, risk, log).catch(() => {}) })
  const stopReviving = revive(client)
  let stopAsking = (): void => {}
  if (isCluster(client)) {
    client.on('+node', (node: Redis) => {
      if (target.tls) node.options.tls = tlsTo(node.options.host)
      node.connect().catch(() => {})
    })
    stopAsking = keepSlots(client)
  }
  await firstOutcome(client)
  return {
    client,
    use: outages.idle,
    async close () {
      outages.stop()
      stopReviving()
      stopAsking()
      await within(SILENCE_MS, client.quit()).catch(() => {})
      client.disconnect()
    }
  }
}

/** Makes the client, which begins to connect. */
function createClient ({ Cluster, Redis }: Pick<typeof import('ioredis'), 'Cluster' | 'Redis'>, target: RedisTarget, demotion: Demotion): Redis | Cluster {
  const { kind, hosts, path, primary, tls } = target
  const options = { ...optionsOf(target, demotion), ...tls && { tls: TLS } }
  if (kind === 'cluster') return new Cluster(hosts, { ...CLUSTER_OPTIONS, redisOptions: options })
  return new (inTurns(Redis))({
    ...options,
    retryStrategy: backOff,
    enableOfflineQueue: false,
    ...kind === 'server' && { ...hosts[0], ...tls && { tls: tlsTo(hosts[0]?.host) } },
    ...kind === 'socket' && { path },
    ...kind === 'sentinel' && {
      sentinels: hosts,
      name: primary,
      sentinelRetryStrategy: backOff,
      sentinelCommandTimeout: CONNECT_MS,
      ...tls && { sentinelTLS: TLS, enableTLSForSentinelMode: true }
    }
  })
}

const TLS = { rejectUnauthorized: true }

/** Names the host to the server, which may have several certificates, or be a proxy that goes by the name. Source: RFC 6066, section 3. */
function tlsTo (host = ''): ConnectionOptions {
  return host === '' || isIP(host) !== 0 ? TLS : { ...TLS, servername: host }
}

/**
 * Returns options under which nothing is sent twice: a command whose answer is lost may have been carried out, and a second
 * removal of a session would answer that it is missing. A command without a connection fails at once.
 */
function optionsOf ({ username, password, database }: RedisTarget, demotion: Demotion) {
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
    reconnectOnError: (error) => demotion.leaves(error)
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

/** Returns the time to the next attempt, in ms. The first comes almost at once: the connection may have been closed for idleness. */
function backOff (attempt: number): number {
  return Math.min(50 * (attempt - 1), LONGEST_BACKOFF_MS) + Math.random() * Math.min(10 * attempt, 50)
}

/**
 * Connects again when ioredis has given up. ioredis does so after an error that no server sends, such as that of a sentinel's answer
 * that is not an address.
 *
 * @returns a function that stops it.
 */
function revive (client: Redis | Cluster): () => void {
  let timer: NodeJS.Timeout | undefined
  const connect = (): void => {
    timer = setTimeout(() => { client.connect().catch(() => {}) }, LONGEST_BACKOFF_MS).unref()
  }
  client.on('end', connect)
  return () => {
    client.off('end', connect)
    clearTimeout(timer)
  }
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
