import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from '../../test/clients/client.js'
import { freePort } from '../../test/processes/free-port.js'
import type { Lifetime } from '../../test/processes/scope.js'
import { startPostgres } from '../../test/programs/postgres.js'
import { startRedis } from '../../test/programs/redis.js'
import { Browser, type Position, type Stop } from './browser.js'
import { Gates } from './gates.js'
import type { Peer } from './peers/index.js'
import { PeerProcess } from './process.js'

/** How long a request may go on to write after its answer. */
const STILL_WRITES_MS = 50

/** A peer with its servers, and what a case can do to them. */
export interface Stage {
  readonly peer: Peer
  /** Its Redis or PostgreSQL. A case that stops it starts it again. */
  readonly store: { stop (): Promise<void>, start (): Promise<void> }
  browser (name: string, cookies?: Map<string, string>): Browser
  /**
   * Lets a request wait at a position, does something meanwhile, and lets the request continue.
   *
   * @returns the answer of the request, or null if it never came to the position; then nothing was done meanwhile
   */
  during (at: Position, slow: (stop: Stop) => Promise<Answer>, meanwhile: () => Promise<void>): Promise<Answer | null>
  /** Kills the process of the peer, and starts it again on the same store. */
  killAndRestart (): Promise<void>
}

/** Starts a peer and its servers, which end with the lifetime. Redis writes each command to the disk before it answers. */
export async function setStage (t: Lifetime, peer: Peer, note: (step: string) => void): Promise<Stage> {
  const folder = join(t.testdir(), 'store')
  mkdirSync(folder)
  const redis = peer.servers.includes('redis') ? await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] }) : null
  const postgres = peer.servers.includes('postgres') ? await startPostgres(t) : null
  const gates = await Gates.listen()
  t.teardown(() => { gates.close() })
  const port = await freePort()
  const process = new PeerProcess(peer, { GATES: gates.url, FOLDER: folder, REDIS: redis?.url ?? '', POSTGRES: postgres?.host ?? '', SECRET: randomBytes(32).toString('hex'), PORT: String(port) })
  t.teardown(async () => { await process.kill() })
  await process.start()
  const url = `http://127.0.0.1:${port}/`
  // Of better-auth on Redis, which has both, the sessions are in Redis.
  const server = redis ?? postgres

  return {
    peer,
    store: {
      async stop () {
        await server?.stop()
        note('the store is down')
      },
      async start () {
        await server?.start()
        note('the store is up again')
      }
    },
    browser: (name, cookies) => new Browser(url, name, note, cookies),
    async during (at, slow, meanwhile) {
      const gate = gates.add()
      const answer = slow({ gate, at })
      // A peer may answer while the request still writes.
      const answered = answer.then(() => sleep(STILL_WRITES_MS)).then(() => false)
      const isThere = await Promise.race([gate.reached.then(() => true), answered])
      if (!isThere) {
        note(`it never came to "${at}"`)
        gate.open()
        return null
      }
      note(`it waits at "${at}"`)
      await meanwhile().finally(() => {
        note('it continues')
        gate.open()
      })
      await answered
      return await answer
    },
    async killAndRestart () {
      await process.kill()
      note('the process is killed')
      await process.start()
      note('the process is started again')
    }
  }
}
