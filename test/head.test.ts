import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import hatcheck from '../app.js'
import { buildHost, newFastify, testKey } from './helper.js'

type WriteHead = FastifyReply['raw']['writeHead']

/** Wraps `writeHead` as the library on-headers does: puts all headers on the response of Node, and changes them there. */
function onHeaders ({ raw }: FastifyReply, change: (raw: FastifyReply['raw']) => void): void {
  const { writeHead } = raw
  raw.writeHead = function (status: number, headers: Record<string, string | string[]> = {}) {
    for (const [name, value] of Object.entries(headers)) raw.setHeader(name, value)
    change(raw)
    return writeHead.call(raw, status)
  } as WriteHead
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

/** Serves a handler, and asks it as a user who is logged in. @param onSend a hook after those of hatcheck */
async function answerOf (t: Test, handler: Handler, onSend: Handler = async () => {}): Promise<{ status: number, headers: Headers, cookie: string, url: string }> {
  const app = await buildHost(t)
  app.get('/in', async (request) => { await request.login('harry') })
  app.get('/me', async ({ user }) => user?.name ?? 'nobody')
  app.get('/', { onSend }, handler)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const cookie = (await fetch(`${url}/in`)).headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const { status, headers } = await fetch(url, { headers: { cookie } })
  return { status, headers, cookie, url }
}

test('a library that changes headers as they are written keeps its changes', async (t) => {
  const vary: Handler = async ({ user }, reply) => {
    reply.header('vary', 'Origin')
    onHeaders(reply, (raw) => raw.setHeader('vary', `${String(raw.getHeader('vary'))}, Accept-Encoding`))
    return user?.name
  }
  const hijacked: Handler = async ({ user }, reply) => {
    reply.header('vary', 'Origin').hijack().raw.setHeader('vary', 'Accept-Language')
    reply.raw.end(user?.name)
  }
  for (const [handler, names] of [[vary, ['Origin', 'Cookie', 'Accept-Encoding']], [hijacked, ['Origin', 'Accept-Language', 'Cookie']]] as const) {
    const { headers } = await answerOf(t, handler)
    t.same(headers.get('vary')?.split(', '), names)
    t.equal(headers.get('cache-control'), 'no-store')
  }

  const cookie: Handler = async (request, reply) => {
    await request.login('harry')
    onHeaders(reply, (raw) => raw.setHeader('set-cookie', `${String(raw.getHeader('set-cookie'))}; Priority=High`))
    return 'x'
  }
  const lines = (await answerOf(t, cookie)).headers.getSetCookie()
  t.equal(lines.length, 1)
  t.match(lines[0], /^hatcheck=.+; Priority=High$/)
})

test('a copy of the headers from before a login does not bring back the cookie of the session before', async (t) => {
  const { headers, url } = await answerOf(t, async (request, reply) => {
    await request.login('sally')
    const before = { ...reply.getHeaders() }
    await request.login('ann')
    reply.hijack().raw.writeHead(200, { ...before, 'set-cookie': [String(before['set-cookie']), 'theme=dark'] } as never).end('x')
  })
  const [session = '', theme = '', ...others] = headers.getSetCookie().map((line) => line.split(';', 1)[0] as string)
  t.strictSame([theme, others], ['theme=dark', []])
  t.equal(await (await fetch(`${url}/me`, { headers: { cookie: session } })).text(), 'ann')
})

test('every form of a head keeps its headers', async (t) => {
  const heads: Record<string, unknown> = {
    'an object': { Link: ['a', 'b'], 'X-Own': '1' },
    'a list': ['Link', 'a', 'Link', 'b', 'X-Own', '1'],
    'a list of pairs': [['Link', 'a'], ['Link', 'b'], ['X-Own', '1']]
  }
  for (const [form, head] of Object.entries(heads)) {
    const { status, headers } = await answerOf(t, async ({ user }, reply) => { reply.hijack().raw.writeHead(200, head as never).end(user?.name) })
    t.strictSame([status, headers.get('link'), headers.get('x-own'), headers.get('vary'), headers.get('cache-control')], [200, 'a, b', '1', 'Cookie', 'no-store'], form)
  }
  const { headers } = await answerOf(t, async ({ user }, reply) => {
    reply.hijack().raw.writeHead(200, { vary: 'Cookie', 'cache-control': 'private', 'CDN-Cache-Control': 'max-age=60' }).end(user?.name)
  })
  t.strictSame([headers.get('cache-control'), headers.get('cdn-cache-control')], ['private', 'no-store'])
})

test('a head that is private already still gets what it lacks', async (t) => {
  const login = async (head: Record<string, string>): Promise<Headers> => (await answerOf(t, async (request, reply) => {
    await request.login('ann')
    reply.hijack().raw.writeHead(200, head).end('x')
  })).headers
  const complete = await login({ vary: 'Cookie', 'cache-control': 'private' })
  t.match(complete.getSetCookie(), [/^hatcheck=/], 'the cookie of the login')
  t.strictSame([complete.get('vary'), complete.get('cache-control')], ['Cookie', 'private'])
  t.equal((await login({ vary: 'Accept', 'cache-control': 'private' })).get('vary'), 'Accept, Cookie')

  const { headers: ofHook } = await answerOf(t, async ({ user }) => user?.name, async (_request, reply) => { reply.header('vary', 'Accept') })
  t.strictSame([ofHook.get('vary'), ofHook.get('cache-control')], ['Accept, Cookie', 'no-store'], 'a later hook has replaced Vary alone')
  const { headers: ofNode } = await answerOf(t, async ({ user }, reply) => {
    reply.header('cache-control', 'private').hijack().raw.setHeader('cache-control', 'no-store')
    reply.raw.end(user?.name)
  })
  t.equal(ofNode.get('cache-control'), 'no-store', 'what the handler has set on the response of Node is the newer')
})

test('a response that one Fastify passes on to another has the cookies of both', async (t) => {
  const inner = newFastify(t)
  await inner.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', sessionCookieName: 'inner', authenticate: (name) => ({ name }) })
  inner.get('/', async (request, reply) => {
    await request.login('ann')
    reply.hijack().raw.end('x')
  })
  await inner.ready()
  const outer = await buildHost(t)
  outer.get('/', async (request, reply) => {
    await request.login('harry')
    reply.hijack()
    inner.routing(request.raw, reply.raw)
  })
  await outer.listen({ port: 0, host: '127.0.0.1' })
  const { headers } = await fetch(`http://127.0.0.1:${(outer.server.address() as AddressInfo).port}/`)
  t.same(headers.getSetCookie().map((line) => line.split('=', 1)[0]), ['hatcheck', 'inner'])
})
