import { strict as assert } from 'node:assert'
import Fastify, { type FastifyInstance } from 'fastify'
import { randomBytes } from 'node:crypto'
import { hatcheckService } from '../../app.js'
import { resolveConfig } from '../../plugins/config/resolve.js'
import { openStorage } from '../../plugins/storage/open.js'
import type { SessionRecord } from '../../plugins/store/record.js'
import type { BenchStore } from '../stores.js'
import { costOf } from './cost.js'
import type { Filled } from './findings.js'
import { keyOf, recordOf, type Population } from './population.js'

const IN_FLIGHT = 50
/** How often progress is told. */
const PART = 100_000

/** Creates the sessions, each as a login leaves it. */
export async function fill (options: BenchStore['options'], population: Population, say: (text: string) => void): Promise<Filled> {
  const login = await recordOfLogin(options)
  const storage = await openStorage(resolveConfig({ ...options, secretKey: randomBytes(32) }, 'plugin'), { info () {}, warn () {} })
  const numbers = Array.from({ length: population.sessions }, (_, i) => i)
  const create = await costOf(numbers, IN_FLIGHT, async (number) => {
    if (number > 0 && number % PART === 0) say(`${number.toLocaleString('en')} created`)
    await storage.sessions.create(keyOf(number), recordOf(number, login, population))
  })
  const createdRssBytes = process.memoryUsage.rss()
  if (create.failed > 0) say(`${create.failed} sessions could not be created`)
  await storage.close()
  return { create, createdRssBytes }
}

/** Logs a user in through the service, and returns the record. */
async function recordOfLogin (options: BenchStore['options']): Promise<SessionRecord> {
  const service = Fastify() as unknown as FastifyInstance
  await service.register(hatcheckService, { mode: 'service', ...options, secretKey: randomBytes(32), signup: 'open', passwordMinLength: 8, sessionCookieSecure: 'auto' })
  const { statusCode } = await service.inject({ method: 'POST', url: '/login', headers: { accept: 'application/json' }, payload: { client_name: 'Harry', password: 'a phrase that is on no list' } })
  const [session] = await service.hatcheck.storage.sessions.ofUser('Harry')
  await service.close()
  assert.ok(session !== undefined, `the login answers ${statusCode}`)
  return session.record
}
