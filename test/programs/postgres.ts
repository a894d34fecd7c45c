import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import type { Test } from 'tap'
import { needs } from '../helper.js'
import type { Lifetime } from '../processes/scope.js'
import { until } from '../time/loop-clock.js'

/** A real PostgreSQL on a socket in its own folder, without a port. It ends with the test. */
export interface PostgresServer {
  /** The folder with its socket, which clients take for a host. Its user is "hatcheck", its database "postgres". */
  readonly host: string
  /** Returns connections for a test, closed with it. */
  connect (t: Test): pg.Pool
  start (): Promise<void>
  stop (): Promise<void>
}

/** Debian keeps the programs of the server away from the PATH. */
function programs (): string {
  const debian = '/usr/lib/postgresql'
  const newest = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a))[0] : undefined
  return newest === undefined ? '' : join(debian, newest, 'bin')
}

export function needsPostgres (): ReturnType<typeof needs> {
  return existsSync(join(programs(), 'initdb')) ? { skip: false } : needs('initdb')
}

export async function startPostgres (t: Lifetime): Promise<PostgresServer> {
  // Not a folder of the test: the path of a Unix socket must be short.
  const folder = mkdtempSync(join(tmpdir(), 'hatcheck-pg-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const owner = ownerFor(folder)
  const data = join(folder, 'data')
  const options = { ...owner, cwd: folder, env: { ...process.env, LC_ALL: 'C.UTF-8' } }
  await promisify(execFile)(join(programs(), 'initdb'), ['--pgdata', data, '--username', 'hatcheck', '--auth', 'trust', '--no-sync'], options)
  const address = { host: folder, user: 'hatcheck', database: 'postgres' }
  let child: ChildProcess | null = null

  async function start (): Promise<void> {
    const started = spawn(join(programs(), 'postgres'), ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'fsync=off'],
      { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
    let output = ''
    started.stderr.setEncoding('utf8').on('data', (text: string) => { output += text })
    child = started
    await until('postgres answers', async () => {
      if (started.exitCode !== null) throw new Error(`postgres ended:\n${output}`)
      const client = new pg.Client(address)
      client.on('error', () => {})
      try {
        await client.connect()
        return true
      } catch {
        return false
      } finally {
        await client.end().catch(() => {})
      }
    })
  }

  async function stop (): Promise<void> {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const end = once(child, 'exit')
    // This ends the connections too.
    child.kill('SIGINT')
    await end
  }

  t.teardown(stop)
  await start()
  return {
    host: folder,
    connect (t) {
      const pool = new pg.Pool(address)
      pool.on('error', () => {})
      t.teardown(() => pool.end())
      return pool
    },
    start,
    stop
  }
}

/** PostgreSQL does not run as root. */
function ownerFor (folder: string): { uid?: number, gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const idOf = (option: string): number => Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }))
  const owner = { uid: idOf('-u'), gid: idOf('-g') }
  chownSync(folder, owner.uid, owner.gid)
  return owner
}
