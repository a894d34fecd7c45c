import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { Client } from '../clients/client.js'
import { buildHost } from '../helper.js'
import type { StoreCall } from '../stores/watched-store.js'
import { bag, type Bag } from './bag.js'

/** An application with the few routes that races need. Each test adds its slow routes. */
export async function shop (t: Test, store: SessionStore, options: HatcheckOptions = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, { sessionStore: store, ...options })
  fastify.post<{ Params: { name: string } }>('/login/:name', async (request) => {
    await request.login(request.params.name)
    return 'in'
  })
  fastify.post('/logout', async (request) => {
    await request.logout()
    return 'out'
  })
  fastify.post<{ Params: { key: string } }>('/set/:key', async (request) => {
    bag(request)[request.params.key] = request.params.key
    return 'set'
  })
  fastify.get('/', async (request) => ({ user: request.user?.name ?? null, data: { ...bag(request) } }))
  return fastify
}

export function post (fastify: FastifyInstance, url: string, cookie: string): Promise<LightMyRequestResponse> {
  return fastify.inject({ method: 'POST', url, headers: { cookie } })
}

export async function see (fastify: FastifyInstance, cookie: string): Promise<{ user: string | null, data: Bag }> {
  return (await fastify.inject({ url: '/', headers: { cookie } })).json()
}

/** A logged-in browser. */
export async function loggedIn (fastify: FastifyInstance, name = 'Harry'): Promise<Client> {
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: `/login/${name}` })
  return client
}

/** The store calls that end a session. */
export function ends (call: StoreCall): boolean {
  return call === 'remove' || call === 'replace'
}

export function cookieOf (response: LightMyRequestResponse): string {
  const [cookie] = response.cookies
  return cookie === undefined ? '' : `${cookie.name}=${cookie.value}`
}
