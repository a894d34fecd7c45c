import Fastify, { type FastifyInstance } from 'fastify'
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { hatcheck } from '../../app.js'
import type { SessionStore } from '../../plugins/store/sessions.js'
import { wrapStore, type CompleteSessionStore } from '../../plugins/store/traits.js'
import { answerOf, endProcess } from '../processes.js'
import type { Requests } from './visitors.js'

declare module 'fastify' {
  interface Session {
    /** What the visitors of {@link startApplication} change. */
    colour?: string
  }
}

const VISITORS = 8
const DAY_SECONDS = 86_400

/** An application on a store, with visitors all the time. */
export interface Application {
  readonly fastify: FastifyInstance
  /** Returns how long the requests since the last call took. */
  requests (): Promise<Requests>
  close (): Promise<void>
}

export async function startApplication (store: CompleteSessionStore, now: () => number): Promise<Application> {
  const fastify = Fastify() as unknown as FastifyInstance
  await fastify.register(hatcheck, { sessionStore: withoutSweep(store), secretKey: randomBytes(32), sessionIdleTimeout: DAY_SECONDS, now })
  fastify.get('/', async (request) => ({ user: request.session.client_name }))
  fastify.post('/', async (request) => {
    request.session.colour = randomBytes(3).toString('hex')
    return {}
  })
  fastify.post('/login', async (request) => { await request.login('A visitor') })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const cookies = await Promise.all(Array.from({ length: VISITORS }, async () => {
    const { cookies: [cookie] } = await fastify.inject({ method: 'POST', url: '/login', headers: { host: 'localhost' } })
    return `${cookie?.name}=${cookie?.value}`
  }))
  const { port } = fastify.server.address() as AddressInfo
  const visitors = fork(join(import.meta.dirname, 'visitors.js'), [`http://127.0.0.1:${port}/`, ...cookies], { execArgv: [] })
  return {
    fastify,
    requests: () => answerOf<Requests>(visitors, 'the process of the visitors', 'requests'),
    async close () {
      await endProcess(visitors, () => { visitors.disconnect() })
      await fastify.close()
    }
  }
}

/** Leaves out the sweep: an application sweeps once a minute, which would be in the midst of what is measured. */
function withoutSweep (store: CompleteSessionStore): SessionStore {
  const { sweep: _sweep, ...others } = wrapStore(store, (_, call) => call)
  return others
}
