import fastifyCookie from '@fastify/cookie'
import Fastify, { type FastifyInstance, type FastifyPluginCallback, type FastifyRequest } from 'fastify'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { test, type Test } from 'tap'
import { expressStore } from '../app.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { bag, type Bag } from './apps/bag.js'
import { Client, cookiesSetBy, type Answer } from './clients/client.js'
import { buildHost, formerKey, testKey } from './helper.js'
import { pageAt } from './pages/pages.js'

/**
 * What the README of @fastify/session 11 documents, one scenario for each behavior. It runs on both, and hatcheck either does
 * the same or differs as docs/from-fastify-session.md says.
 */

// Not imported, since its types conflict with those of hatcheck.
const { fastifySession, Store } = createRequire(import.meta.url)('@fastify/session') as { fastifySession: FastifyPluginCallback<Record<string, unknown>>, Store: new () => never }

type Step = (request: FastifyRequest & { sessionStore?: unknown }, bag: Bag) => unknown

/** An application with one browser. */
interface App {
  readonly fastify: FastifyInstance
  readonly browser: Client
  /** Runs a step in a handler. */
  run (step: Step): Promise<Answer>
  /** Runs a step, and returns its result. */
  ask (step: Step): Promise<unknown>
}

interface Row {
  /** The options of each; by default those for plain http. */
  options?: { theirs?: Record<string, unknown>, ours?: GivenOptions }
  /** What happens, as JSON can say it. */
  scenario (app: App, t: Test): Promise<unknown>
  documented: unknown
  /** What hatcheck does instead; missing: the same. */
  ours?: unknown
}

function drive (fastify: FastifyInstance): App {
  let step: Step = () => null
  const browser = new Client(fastify)
  fastify.get('/', async (request) => ({ result: await step(request, bag(request)) ?? null }))
  const run = (next: Step): Promise<Answer> => {
    step = next
    return browser.get('/')
  }
  return { fastify, browser, run, ask: async (next) => (await run(next)).json().result ?? null }
}

async function theirs (t: Test, options: Record<string, unknown> = {}): Promise<App> {
  const fastify = Fastify() as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  await fastify.register(fastifyCookie)
  await fastify.register(fastifySession, { secret: testKey, ...options, cookie: { secure: false, ...options['cookie'] as object } })
  return drive(fastify)
}

async function ours (t: Test, options: GivenOptions = {}): Promise<App> {
  return drive(await buildHost(t, options))
}

const lineOf = ({ headers }: Answer): string => String([headers['set-cookie'] ?? ''].flat()[0])
/** No response may show an ID. */
const hashOfId: Step = ({ session }) => createHash('sha256').update(session.sessionId).digest('hex')
const set: Step = (_, bag) => { bag['user'] = { name: 'max' } }
const attributes = (answer: Answer): string[] => lineOf(answer).split('; ').slice(1).filter((part) => !/^(Expires|Max-Age)/.test(part)).sort()

const rows: Record<string, Row> = {
  'A value that a hook or a handler sets in `request.session` is there in the next request': {
    async scenario ({ fastify, run, ask }) {
      fastify.addHook('preHandler', async ({ session }) => { Reflect.set(session, 'seen', true) })
      await run(set)
      return await ask((_, { user, seen }) => ({ user, seen }))
    },
    documented: { user: { name: 'max' }, seen: true }
  },
  '`secret` has at least 32 characters': {
    async scenario ({ fastify }, t) {
      const start = (key: string): Promise<App> => fastify.hasDecorator('sessions') ? ours(t, { secretKey: key }) : theirs(t, { secret: key })
      // The second key is the one that its README shows.
      return await Promise.all(['short', 'a secret with minimum length of 32 characters'].map((key) => start(key).then(() => true, () => false)))
    },
    documented: [false, true],
    ours: [false, false]
  },
  'Of several secrets, the first signs and all verify': {
    options: { theirs: { secret: [testKey, formerKey] }, ours: { secretKeyFallbacks: [formerKey] } },
    async scenario ({ run, ask }) {
      await run(set)
      return await ask((_, { user }) => user)
    },
    documented: { name: 'max' }
  },
  '`cookieName` is `sessionId` by default': {
    scenario: async ({ run }) => cookiesSetBy(await run(set)).map(({ name }) => name),
    documented: ['sessionId'],
    ours: ['hatcheck']
  },
  '`cookieName` names the cookie': {
    options: { theirs: { cookieName: 'shop' }, ours: { sessionCookieName: 'shop' } },
    scenario: async ({ run }) => cookiesSetBy(await run(set)).map(({ name }) => name),
    documented: ['shop']
  },
  '`cookiePrefix` is put before the value': {
    options: { theirs: { cookiePrefix: 's:' } },
    scenario: async ({ run }) => cookiesSetBy(await run(set)).map(({ value }) => /^s(:|%3A)/.test(value)),
    documented: [true],
    ours: [false]
  },
  'The cookie is HttpOnly and has the path `/` by default': {
    options: { theirs: { cookie: { sameSite: 'lax' } } },
    scenario: async ({ run }) => attributes(await run(set)),
    documented: ['HttpOnly', 'Path=/', 'SameSite=Lax']
  },
  '`path` and `sameSite` of the cookie': {
    options: { theirs: { cookie: { path: '/', sameSite: 'strict' } }, ours: { sessionCookieSamesite: 'strict' } },
    scenario: async ({ run }) => attributes(await run(set)),
    documented: ['HttpOnly', 'Path=/', 'SameSite=Strict']
  },
  '`httpOnly: false` shows the cookie to scripts': {
    options: { theirs: { cookie: { httpOnly: false } } },
    scenario: async ({ run }) => lineOf(await run(set)).includes('HttpOnly'),
    documented: false,
    ours: true
  },
  '`secure: true` (the default) sends no cookie over http': {
    options: { theirs: { cookie: { secure: true } }, ours: { sessionCookieSecure: true } },
    async scenario ({ run }) {
      const answer = await run(set)
      return [answer.statusCode, lineOf(answer)]
    },
    documented: [200, ''],
    ours: [400, '']
  },
  '`secure: \'auto\'` follows the connection': {
    options: { theirs: { cookie: { secure: 'auto' } }, ours: { sessionCookieSecure: 'auto' } },
    scenario: async ({ run }) => attributes(await run(set)),
    documented: ['HttpOnly', 'Path=/', 'SameSite=Lax']
  },
  '`saveUninitialized` (the default) stores a session for every visitor': {
    scenario: async ({ run }) => lineOf(await run(() => 'read')) !== '',
    documented: true,
    ours: false
  },
  '`saveUninitialized: false` stores no session without values': {
    options: { theirs: { saveUninitialized: false } },
    scenario: async ({ run }) => lineOf(await run(() => 'read')) !== '',
    documented: false
  },
  '`rolling` (the default) sends the cookie with every response': {
    options: { theirs: { cookie: { maxAge: 60_000 } } },
    async scenario ({ run }) {
      await run(set)
      return lineOf(await run((_, { user }) => user)) !== ''
    },
    documented: true,
    ours: false
  },
  '`idGenerator` makes the IDs': {
    options: { theirs: { idGenerator: () => 'returningVisitor-1' } },
    scenario: async ({ ask }) => String(await ask(({ session }) => session.sessionId)).startsWith('returningVisitor'),
    documented: true,
    ours: false
  },
  '`request.sessionStore` is the store': {
    scenario: async ({ ask }) => await ask(({ sessionStore }) => sessionStore !== undefined),
    documented: true,
    ours: false
  },
  '`destroy()` ends the session, with a callback or a promise': {
    async scenario ({ run, ask }) {
      const left = []
      for (const step of [({ session }) => session.destroy(), ({ session }) => new Promise((resolve) => { session.destroy(resolve) })] satisfies Step[]) {
        await run(set)
        await run(step)
        left.push(await ask((_, { user }) => user))
      }
      return left
    },
    documented: [null, null]
  },
  '`touch()` moves `cookie.expires`': {
    options: { theirs: { cookie: { maxAge: 60_000 } } },
    async scenario ({ run }) {
      await run(set)
      return lineOf(await run(({ session }) => { session.touch() })) !== ''
    },
    documented: true,
    ours: false
  },
  '`options()` changes the cookie in a route': {
    scenario: async ({ run }) => (await run(({ session }) => { (session as unknown as { options (given: object): void }).options({ maxAge: 60 }) })).statusCode,
    documented: 200,
    ours: 500
  },
  '`regenerate()` gives a new ID without the values, with a callback or a promise': {
    async scenario ({ run, ask }) {
      const seen = []
      for (const step of [({ session }) => session.regenerate(), ({ session }) => new Promise((resolve) => { session.regenerate(resolve) })] satisfies Step[]) {
        await run(set)
        const before = await ask(hashOfId)
        await run(step)
        seen.push(await ask(hashOfId) === before, await ask((_, { user }) => user))
      }
      return seen
    },
    documented: [false, null, false, null]
  },
  '`regenerate(fields)` keeps these values under a new ID': {
    async scenario ({ run, ask }) {
      await run((_, bag) => Object.assign(bag, { user: 'max', other: 1 }) && null)
      const before = await ask(hashOfId)
      await run(({ session }) => session.regenerate(['user']))
      return [await ask(hashOfId) === before, await ask((_, { user, other }) => ({ user, other }))]
    },
    documented: [false, { user: 'max' }]
  },
  '`reload()` reads the session again': {
    async scenario ({ run, ask }) {
      await run(set)
      return await ask(async (request, bag) => {
        bag['user'] = 'other'
        await request.session.reload()
        return (request.session as unknown as Bag)['user']
      })
    },
    documented: { name: 'max' }
  },
  '`save()` stores the session before the response': {
    scenario: async ({ ask }) => await ask(async ({ session }, bag) => {
      bag['user'] = 'max'
      const before = session.isSaved()
      await session.save()
      return [before, session.isSaved()]
    }),
    documented: [false, true]
  },
  '`get(key)` and `set(key, value)`': {
    async scenario ({ run, ask }) {
      await run(({ session }) => { session.set<any>('not-exist', 'happy') })
      return await ask(({ session }) => session.get<any>('not-exist'))
    },
    documented: 'happy'
  },
  '`isModified()` tells whether there are changes': {
    async scenario ({ run, ask }) {
      await run(set)
      return await ask(({ session }, bag) => {
        const before = session.isModified()
        bag['user'] = 'other'
        return [before, session.isModified()]
      })
    },
    documented: [false, true]
  },
  '`fastify.decryptSession()` reads the session of a cookie': {
    scenario: async ({ fastify }) => 'decryptSession' in fastify,
    documented: true,
    ours: false
  },
  'A store for express-session can be used': {
    options: { theirs: { store: new Store() }, ours: { sessionStore: expressStore(new Store()) } },
    async scenario ({ run, ask }) {
      await run(set)
      return await ask((_, { user }) => user)
    },
    documented: { name: 'max' }
  }
}

for (const [behavior, { options = {}, scenario, documented, ours: other = documented }] of Object.entries(rows)) {
  test(`documented by @fastify/session: ${behavior}`, async (t) => {
    t.strictSame(await scenario(await theirs(t, options.theirs), t), documented, '@fastify/session')
    t.strictSame(await scenario(await ours(t, options.ours), t), other, 'hatcheck')
  })
}

test('docs/from-fastify-session.md names every documented behavior, and whether hatcheck differs', (t) => {
  const [, section = ''] = pageAt('docs/from-fastify-session.md').split('## What its README documents\n')
  const table = [...(section.split('\n## ')[0] as string).matchAll(/^\| (.+?) \| (.+?) \|$/gm)].slice(2).map(([, behavior, answer]) => [behavior, answer === 'the same'])
  t.strictSame(table, Object.entries(rows).map(([behavior, row]) => [behavior, !('ours' in row)]))
  t.end()
})
