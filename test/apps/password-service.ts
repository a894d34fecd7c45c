import type { FastifyInstance } from 'fastify'
import { Writable } from 'node:stream'
import type { Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import { AS_PROGRAM } from '../clients/accept.js'
import { Client, type Answer } from '../clients/client.js'
import { build } from '../helper.js'
import '../time/cheap-hashes.js'

export const OLD = 'correct horse battery'

/** A service with the account Harry, and a few routes that show sessions. */
export async function service (t: Test, options: HatcheckOptions = {}, stream?: Writable): Promise<FastifyInstance> {
  const fastify = await build(t, { mode: 'service', signup: 'closed', ...options }, stream === undefined ? {} : { logger: { level: 'trace', stream } })
  fastify.get<{ Params: { value: string } }>('/set/cart/:value', async ({ session, params }) => { (session as unknown as Record<string, unknown>)['cart'] = params.value })
  fastify.get<{ Params: { text: string } }>('/flash/:text', async (request) => { request.flash('info', request.params.text) })
  fastify.get('/rotate', async ({ session }) => { await session.regenerate(session.keys() as never[]) })
  fastify.get('/data', async (request) => {
    const { cart } = request.session as unknown as Record<string, unknown>
    return { cart, flashes: (await request.flashes()).map(({ text }) => text) }
  })
  await fastify.accounts?.add('Harry', OLD)
  return fastify
}

export async function loggedIn (fastify: FastifyInstance, name = 'Harry', password = OLD): Promise<Client> {
  const client = new Client(fastify)
  await client.post('/login', { client_name: name, password })
  return client
}

export function change (client: Client, current: string, next: string, headers: Record<string, string> = AS_PROGRAM): Promise<Answer> {
  return client.send({ method: 'POST', url: '/password', payload: { current_password: current, new_password: next }, headers })
}

export function store (fastify: FastifyInstance): FastifyInstance['sessions']['store'] {
  return fastify.sessions.store
}
