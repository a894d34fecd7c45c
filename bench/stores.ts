import { Redis } from 'ioredis'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../test/processes/free-port.js'
import type { Resources } from './contenders/contender.js'
import { endProcess } from './processes.js'

/** A store of its own for a measurement. */
export interface BenchStore {
  title: string
  /** The service that uses it. */
  contender: string
  resources: Resources
  /** The options of hatcheck that choose it. */
  options: { dataDir: string } | { sessionStore: string }
  /** Measures what is stored, in bytes. */
  bytes (): Promise<number> | number
  close (): Promise<void>
}

export interface RedisServer extends BenchStore {
  options: { sessionStore: string }
  pid: number
}

/** Names a folder for LMDB below `folder`; the service creates it. */
export function lmdbStore (folder: string): BenchStore {
  const dataDir = join(folder, 'data')
  return {
    title: 'LMDB',
    contender: 'hatcheck, LMDB',
    resources: { dataDir, redisUrl: '' },
    options: { dataDir },
    // What the file takes on the disk: its length can be more.
    bytes: () => 512 * statSync(join(dataDir, 'lmdb/data.mdb')).blocks,
    async close () {}
  }
}

/**
 * Starts a Redis with its data below `folder`; `signal` stops it. Resolves to null if redis-server is not installed.
 *
 * @throws if it ends before it answers, or is stopped
 */
export async function startRedis (folder: string, signal: AbortSignal, args: readonly string[] = []): Promise<RedisServer | null> {
  const port = await freePort()
  const redisUrl = `redis://127.0.0.1:${port}`
  const dataDir = join(folder, 'redis')
  mkdirSync(dataDir)
  const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dataDir, '--save', '', '--appendonly', 'yes', ...args], { stdio: 'ignore', signal })
  // The signal shows as an error too, at any time.
  server.on('error', () => {})
  try {
    await once(server, 'spawn')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const client = new Redis(port, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  // It refuses connections until it listens.
  client.on('error', () => {})
  try {
    await Promise.race([client.ping(), once(server, 'exit').then(() => { throw new Error('redis-server ended before it answered') })])
  } finally {
    client.disconnect()
  }
  return {
    title: 'Redis',
    contender: 'hatcheck, Redis',
    resources: { dataDir, redisUrl },
    options: { sessionStore: redisUrl },
    pid: server.pid ?? NaN,
    async bytes () {
      const client = new Redis(port)
      const memory = await client.info('memory')
      client.disconnect()
      return Number(/^used_memory:(\d+)/m.exec(memory)?.[1])
    },
    async close () { await endProcess(server) }
  }
}
