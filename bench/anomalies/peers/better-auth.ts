import { armedGate, gated, passGate } from './gate.js'
import { serveOverHttp } from './http-peer.js'
import type { Resources, Serve } from './resources.js'
import { KEYS } from './visit.js'

interface Answer {
  headers: Headers
  response: { user: { name: string }, session: Record<string, string | null> } | null
}

interface Auth {
  api: Record<'getSession' | 'updateSession' | 'signInEmail' | 'signUpEmail' | 'signOut' | 'revokeSessions', (call: object) => Promise<Answer>>
  options: object
}

const PASSWORD = 'correct horse battery'
const addressOf = (user: string): string => `${user.toLowerCase()}@example.com`

/**
 * better-auth with the database PostgreSQL, and with `redis` its sessions in a secondary storage. The values of a session are the
 * additional fields of its documentation. A session is prolonged at each use with `updateAge: 0`; the reads of the cases ask for none.
 */
export const serve = (variant: string): Serve => async (resources) => {
  const auth = await open(variant, resources)
  await serveOverHttp(resources.port, async (request, response) => {
    const headers = new Headers({ cookie: request.headers.cookie ?? '' })
    const call = async (name: keyof Auth['api'], more: object = {}): Promise<Answer['response']> => {
      const answer = await auth.api[name]({ ...more, headers, returnHeaders: true })
      const cookies = answer.headers.getSetCookie()
      for (const cookie of cookies) response.appendHeader('set-cookie', cookie)
      if (name === 'signInEmail') headers.set('cookie', cookies.map((cookie) => cookie.split(';')[0]).join('; '))
      return answer.response
    }
    const read = async (): Promise<Answer['response']> => await call('getSession', { query: { disableRefresh: true } })
    return {
      user: async () => (await read())?.user.name ?? null,
      get: async (key) => (await read())?.session[key] ?? undefined,
      async set (key, value) { await call('updateSession', { body: { [key]: value } }) },
      async login (user) { await call('signInEmail', { body: { email: addressOf(user), password: PASSWORD } }) },
      async logout () { await call('signOut') },
      async touch () { await call('getSession') },
      async revokeAll () { await call('revokeSessions') }
    }
  })
}

async function open (variant: string, { redis, postgres, secret, port }: Resources): Promise<Auth> {
  const [{ betterAuth }, { getMigrations }, { default: pg }] = await Promise.all([import('better-auth' as string), import('better-auth/db/migration' as string), import('pg')])
  const pool = new pg.Pool({ host: postgres, user: 'hatcheck', database: 'postgres' })
  pool.on('error', () => {})
  // A documented hook takes the place of a wrapper where better-auth has no store of ours.
  const before = async (): Promise<void> => {
    const gate = armedGate()
    if (gate !== null) await passGate(gate)
  }
  const auth: Auth = betterAuth({
    database: pool,
    secret,
    baseURL: `http://127.0.0.1:${port}`,
    logger: { disabled: true },
    telemetry: { enabled: false },
    // Hashing only takes time here.
    emailAndPassword: { enabled: true, password: { hash: async (text: string) => text, verify: async ({ hash, password }: { hash: string, password: string }) => hash === password } },
    session: { updateAge: 0, additionalFields: Object.fromEntries(KEYS.map((key) => [key, { type: 'string', required: false }])) },
    ...variant === 'redis'
      ? { secondaryStorage: gated(await secondaryStorage(redis), ['set', 'delete']) }
      : { databaseHooks: { session: { create: { before }, update: { before }, delete: { before } } } }
  })
  await (await getMigrations(auth.options)).runMigrations()
  // A user of an earlier start exists already.
  for (const name of ['Harry', 'Sally']) await auth.api.signUpEmail({ body: { name, email: addressOf(name), password: PASSWORD } }).catch(() => {})
  return auth
}

/** Makes the secondary storage in Redis, as the documentation does. */
async function secondaryStorage (url: string): Promise<Record<'get' | 'set' | 'delete' | 'getAndDelete' | 'increment', (key: string, value?: any, ttl?: number) => Promise<unknown>>> {
  const { createClient } = await import('redis' as string)
  const client = createClient({ url })
  client.on('error', () => {})
  await client.connect()
  return {
    get: async (key) => await client.get(key),
    set: async (key, value, ttl) => { await (ttl === undefined ? client.set(key, value) : client.set(key, value, { EX: ttl })) },
    delete: async (key) => { await client.del(key) },
    getAndDelete: async (key) => await client.getDel(key),
    async increment (key, ttl) {
      const count = await client.incr(key)
      if (count === 1) await client.expire(key, ttl)
      return count
    }
  }
}
