import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { test } from 'tap'
import { libraries, oldApp } from '../apps/old-apps.js'
import { cookiesSetBy } from '../clients/client.js'
import { buildHost } from '../helper.js'
import { openStore } from '../stores/watched-store.js'

const BROWSERS = 10_000
/** How many browsers are under way at a time. */
const AT_A_TIME = 250
/** The requests of a browser that sends several at once: a page, and what it loads. */
const PARALLEL = 4

for (const library of libraries) {
  test(`${BROWSERS} live sessions of ${library} continue, half of them in parallel requests to two processes: nobody is logged out, nothing is lost, and each is adopted once`, async (t) => {
    const old = await oldApp(t, library)
    const sessionStore = openStore(t, 'memory:')
    const began = new Map<string, number>()
    const open = async (): Promise<FastifyInstance> => {
      const fastify = await buildHost(t, { sessionStore, adopt: [old.adopt], sessionCookieSecure: true } as never, { logger: false, trustProxy: true })
      fastify.get('/:part', async ({ user, session, params }) => {
        session.set((params as { part: string }).part as 'client_name', 'seen')
        return user?.name
      })
      fastify.get('/', async ({ user, session }) => ({ user: user?.name, values: Object.fromEntries(session.keys().map((key) => [key, session.get(key as 'client_name')])) }))
      fastify.sessions.on('created', ({ user }) => { began.set(String(user), (began.get(String(user)) ?? 0) + 1) })
      return fastify
    }
    const [one, other] = [await open(), await open()]
    const send = (i: number, url: string, cookie: string): Promise<LightMyRequestResponse> =>
      (i % 2 === 0 ? one : other).inject({ url, headers: { cookie, host: 'shop.example.com', 'x-forwarded-proto': 'https' } })
    const wrong: string[] = []

    /** A browser that moves from the old application to the new one. */
    async function move (i: number): Promise<void> {
      const user = `user ${i}`
      const before = await old.begin({ user, cart: [i], theme: 'dark' })
      const isParallel = i % 2 === 0
      const parts = Array.from({ length: isParallel ? PARALLEL : 1 }, (_, part) => `part${part}`)
      const answers = await Promise.all(parts.map((part, at) => send(i + at, `/${part}`, before)))
      const cookies = new Set(answers.map((answer) => cookiesSetBy(answer).find(({ isRemoval }) => !isRemoval)).map((cookie) => `${cookie?.name}=${cookie?.value}`))
      if (answers.some(({ statusCode, body }) => statusCode !== 200 || body !== user)) wrong.push(`${user} was logged out`)
      if (cookies.size !== 1) wrong.push(`${user} has got ${cookies.size} cookies`)
      // Of every ten browsers, one never saw an answer.
      const cookie = i % 10 === 0 ? before : [...cookies][0] as string
      const { user: found, values } = (await send(i, '/', cookie)).json()
      const { client_name: name, authenticatedAt: _, ...rest } = values
      const expected = { user, cart: [i], theme: 'dark', ...Object.fromEntries(parts.map((part) => [part, 'seen'])) }
      if (found !== user || name !== user || JSON.stringify(sorted(rest)) !== JSON.stringify(sorted(expected))) wrong.push(`${user} has ${JSON.stringify(values)}`)
      if (i % 10 === 1 && Object.keys(await old.valuesOf(before)).length > 0) wrong.push(`${user} still has the old session`)
    }

    for (let i = 0; i < BROWSERS; i += AT_A_TIME) await Promise.all(Array.from({ length: AT_A_TIME }, (_, at) => move(i + at)))
    t.strictSame(wrong.slice(0, 10), [])
    t.equal(await sessionStore.count(), BROWSERS)
    t.equal(began.size, BROWSERS)
    t.strictSame([...began].filter(([, times]) => times !== 1), [])
  })
}

function sorted (values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => a < b ? -1 : 1))
}
