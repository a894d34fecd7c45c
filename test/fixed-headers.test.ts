import Fastify, { type FastifyInstance } from 'fastify'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { test, type Test } from 'tap'
import { fixedHeaders } from '../plugins/http/fixed-headers.js'

const FIXED = { 'x-content-type-options': 'nosniff', 'referrer-policy': 'same-origin' }

function app (t: Test): FastifyInstance {
  const fastify = Fastify()
  t.teardown(async () => { await fastify.close() })
  return fastify
}

/** An application whose answers leave in every way that Fastify has. */
function everyAnswer (t: Test): FastifyInstance {
  const fastify = app(t)
  const setFixed = fixedHeaders(FIXED)
  fastify.addHook('onRequest', (_request, reply, done) => {
    setFixed(reply)
    // As the error handler does.
    setFixed(reply)
    done()
  })
  fastify.get('/text', (_request, reply) => { reply.header('set-cookie', ['a=1', 'b=2']).type('text/plain').send('text') })
  fastify.get('/nothing', (_request, reply) => { reply.code(204).send() })
  fastify.get('/redirect', (_request, reply) => { reply.redirect('/text', 303) })
  fastify.get('/error', async () => { throw new Error('an error') })
  fastify.get('/error-in-handler', { errorHandler: () => { throw new Error('another error') } }, async () => { throw new Error('an error') })
  fastify.get('/stream', (_request, reply) => { reply.send(Readable.from(['str', 'eam'])) })
  fastify.get('/raw-header', (_request, reply) => {
    reply.raw.setHeader('set-cookie', 'raw=1')
    reply.send('text')
  })
  fastify.get('/head', (_request, reply) => { reply.hijack().raw.writeHead(200, { 'x-raw': '1' }).end('raw') })
  fastify.get('/head-with-text', (_request, reply) => { reply.hijack().raw.writeHead(200, 'Fine', { 'x-raw': '1' }).end('raw') })
  fastify.get('/head-as-list', (_request, reply) => { reply.hijack().raw.writeHead(200, ['x-raw', '1']).end('raw') })
  fastify.get('/hijacked', (_request, reply) => { reply.hijack().raw.end('raw') })
  return fastify
}

/** Returns the header lines of an answer as they were sent. */
async function linesOf (fastify: FastifyInstance, path: string, method = 'GET'): Promise<Array<[name: string, value: string]>> {
  const { port } = fastify.server.address() as AddressInfo
  const names = await new Promise<string[]>((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, method }, (response) => { response.resume().once('end', () => { resolve(response.rawHeaders) }) }).once('error', reject).end()
  })
  return names.flatMap((name, i) => i % 2 === 0 ? [[name.toLowerCase(), names[i + 1] as string]] : [])
}

test('every answer has the fixed headers once', async (t) => {
  const fastify = everyAnswer(t)
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  for (const path of ['/text', '/nothing', '/redirect', '/error', '/error-in-handler', '/stream', '/raw-header', '/head', '/head-with-text', '/head-as-list', '/hijacked', '/missing']) {
    const lines = await linesOf(fastify, path)
    t.strictSame(lines.filter(([name]) => name in FIXED), Object.entries(FIXED), path)
    const { headers } = await fastify.inject(path)
    t.match(headers, FIXED, `${path}, injected`)
  }
  t.strictSame((await linesOf(fastify, '/text', 'HEAD')).filter(([name]) => name in FIXED), Object.entries(FIXED), 'HEAD')
})

test('the other headers stay', async (t) => {
  const fastify = everyAnswer(t)
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const text = await linesOf(fastify, '/text')
  t.strictSame(text.filter(([name]) => name === 'set-cookie').map(([, value]) => value), ['a=1', 'b=2'])
  t.match(Object.fromEntries(text), { 'content-type': 'text/plain', 'content-length': '4' })
  t.ok((await linesOf(fastify, '/raw-header')).some(([name, value]) => name === 'set-cookie' && value === 'raw=1'))
  for (const path of ['/head', '/head-with-text', '/head-as-list']) t.ok((await linesOf(fastify, path)).some(([name, value]) => name === 'x-raw' && value === '1'), path)
  t.ok((await linesOf(fastify, '/redirect')).some(([name, value]) => name === 'location' && value === '/text'))
})

test('a library that watched the head before sees the fixed headers, and stays', async (t) => {
  const fastify = app(t)
  let seen: unknown
  fastify.addHook('onRequest', async (_request, { raw }) => {
    const { writeHead } = raw
    raw.writeHead = function (this: typeof raw, ...args: unknown[]) {
      seen = args.at(-1)
      return writeHead.apply(this, args as never)
    } as typeof writeHead
  })
  const setFixed = fixedHeaders(FIXED)
  fastify.addHook('onRequest', async (_request, reply) => { setFixed(reply) })
  fastify.get('/', async () => 'text')
  const { headers } = await fastify.inject('/')
  t.match(seen, { ...FIXED, 'content-length': '4' })
  t.match(headers, FIXED)
})

test('the fixed headers replace what the reply has, and a later header replaces them', async (t) => {
  const fastify = app(t)
  const setFixed = fixedHeaders(FIXED)
  fastify.addHook('onRequest', async (_request, reply) => {
    reply.header('Referrer-Policy', 'no-referrer').header('x-content-type-options', 'other')
    setFixed(reply)
  })
  fastify.get('/', async () => 'text')
  fastify.get('/later', async (_request, reply) => {
    reply.header('referrer-policy', 'no-referrer')
    return 'text'
  })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  t.strictSame((await linesOf(fastify, '/')).filter(([name]) => name in FIXED), Object.entries(FIXED))
  t.strictSame((await linesOf(fastify, '/later')).filter(([name]) => name in FIXED), Object.entries({ ...FIXED, 'referrer-policy': 'no-referrer' }))
})
