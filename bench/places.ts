import { Redis } from 'ioredis'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.js'

/** A place for sessions whose size can be measured. */
export interface Place {
  title: string
  contender: string
  /** The folder, or the URL. */
  where: string
  options: { dataDir: string } | { sessionStore: string }
  /** Measures what is stored, in bytes. */
  bytes (): Promise<number> | number
  close (): Promise<void>
}

/** Names a folder for LMDB below `folder`. */
export function lmdbPlace (folder: string): Place {
  const where = join(folder, 'data')
  return {
    title: 'LMDB',
    contender: 'hatcheck, LMDB',
    where,
    options: { dataDir: where },
    bytes: () => 512 * statSync(join(where, 'lmdb/data.mdb')).blocks,
    async close () {}
  }
}

/** Starts a Redis with its data below `folder`; `signal` stops it. Resolves to null if redis-server is not installed. */
export async function redisPlace (folder: string, signal: AbortSignal, args: readonly string[] = []): Promise<Place | null> {
  const port = await freePort()
  const where = `redis://127.0.0.1:${port}`
  const data = join(folder, 'redis')
  mkdirSync(data)
  const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', data, '--save', '', '--appendonly', 'yes', ...args], { stdio: 'ignore', signal })
  server.on('error', () => {})
  try {
    await once(server, 'spawn')
  } catch {
    return null
  }
  const client = new Redis(port, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  // It refuses connections until it listens.
  client.on('error', () => {})
  await client.ping()
  client.disconnect()
  return {
    title: 'Redis',
    contender: 'hatcheck, Redis',
    where,
    options: { sessionStore: where },
    async bytes () {
      const client = new Redis(port)
      const memory = await client.info('memory')
      client.disconnect()
      return Number(/^used_memory:(\d+)/m.exec(memory)?.[1])
    },
    async close () {
      if (server.exitCode !== null) return
      server.kill()
      await Promise.race([once(server, 'exit'), sleep(5_000)])
    }
  }
}
