import type { FastifyRequest } from 'fastify'
import { test } from 'tap'
import type { SessionStore } from '../plugins/store/sessions.js'
import { Client } from './client.js'
import { buildHost } from './helper.js'
import { openStore } from './watched-store.js'

const valuesOf = ({ session }: FastifyRequest): Record<string, unknown> => session as unknown as Record<string, unknown>

test('a synchronous store has the change before reply.send returns', async (t) => {
  const store = openStore(t, 'memory:')
  const fastify = await buildHost(t, { sessionStore: store })
  let key = ''
  const stored: Array<string | undefined> = []
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/change', (request, reply) => {
    valuesOf(request)['count'] = 2
    reply.send('changed')
    stored.push((store.read(key) as { fields: Record<string, string> }).fields['count'])
  })
  const { create } = store
  store.create = (...args) => {
    [key] = args
    return create.apply(store, args)
  }
  const client = new Client(fastify)
  await client.get('/begin')
  await client.get('/change')
  t.strictSame(stored, ['2'])
})

test('a store may answer a change with a promise of another class', async (t) => {
  const store: SessionStore = openStore(t, 'memory:')
  const patch = store.patch.bind(store)
  let isLive = true
  store.patch = (key, changes) => {
    const answer = isLive && patch(key, changes)
    return { then: (resolve: (answer: unknown) => void) => { setImmediate(resolve, answer) } } as never
  }
  const fastify = await buildHost(t, { sessionStore: store })
  fastify.get('/', async (request) => {
    const values = valuesOf(request)
    values['count'] = Number(values['count'] ?? 0) + 1
    return { count: values['count'] }
  })
  fastify.get('/save', async (request) => {
    valuesOf(request)['count'] = 9
    await request.session.save()
  })
  const client = new Client(fastify)
  await client.get('/')
  await client.get('/')
  t.strictSame((await client.get('/')).json(), { count: 3 }, 'the change before is stored')
  isLive = false
  t.equal((await client.get('/save')).json().code, 'HATCHECK_SESSION_GONE', 'its answer counts, and not that it is an object')
})

test('a cookie that the commit sets is left to Fastify: Node gets no header before all of them', async (t) => {
  const fastify = await buildHost(t, { sessionStore: openStore(t, 'memory:') })
  fastify.get('/begin', async (request) => { valuesOf(request)['count'] = 1 })
  fastify.get('/permanent', async ({ session }) => { session.permanent = true })
  const passed: string[][] = []
  fastify.addHook('onSend', async (_request, reply) => { passed.push(reply.raw.getHeaderNames()) })
  const client = new Client(fastify)
  await client.get('/begin')
  const { headers } = await client.get('/permanent')
  t.match(String(headers['set-cookie']), /Max-Age=/)
  t.strictSame(passed, [[], []])
})
