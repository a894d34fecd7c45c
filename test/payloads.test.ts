import type { FastifyReply, FastifyRequest } from 'fastify'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { test } from 'tap'
import { requireLogin } from '../app.js'
import { Client } from './clients/client.js'
import { buildHost, gate } from './helper.js'
import { breakable, openStore, watched } from './stores/watched-store.js'

// What becomes of a body that is a stream while, or because, the session is committed.

const count = ({ session }: FastifyRequest): void => { Object.assign(session, { count: 1 }) }

const streams: Record<string, () => Readable> = {
  'a file that is not there': () => createReadStream('/no/such/file'),
  'a stream that fails at once': () => {
    const stream = new Readable({ read () {} })
    process.nextTick(() => stream.destroy(new Error('at once')))
    return stream
  },
  'a stream that fails in the next turn': () => {
    const stream = new Readable({ read () {} })
    setImmediate(() => stream.destroy(new Error('in the next turn')))
    return stream
  },
  'a stream that is destroyed without an error': () => {
    const stream = new Readable({ read () {} })
    process.nextTick(() => stream.destroy())
    return stream
  }
}

for (const [what, open] of Object.entries(streams)) {
  test(`while the store takes its time, ${what} is a 500, and the process goes on`, async (t) => {
    const { open: answer, passed } = gate()
    const store = watched(openStore(t, 'lmdb:'), async (call) => { if (call === 'create') await passed }, false)
    const fastify = await buildHost(t, { sessionStore: store })
    fastify.get('/', async (request) => {
      count(request)
      setTimeout(answer, 50)
      return open()
    })
    const client = new Client(fastify)
    t.equal((await client.get('/')).statusCode, 500)
    t.ok(client.cookieHeader.includes('hatcheck='), 'the session is stored')
  })
}

/** A file that says whether it is still open. */
function file (): { body: Readable, isOpen: () => boolean } {
  const body = createReadStream(import.meta.filename)
  return { body, isOpen: () => !body.destroyed }
}

test('a body that gives way to an error of the commit is closed', async (t) => {
  const { store, down } = breakable(openStore(t, 'lmdb:'))
  const fastify = await buildHost(t, { sessionStore: store })
  const stream = file()
  let isCancelled = false
  const web = new ReadableStream({ cancel () { isCancelled = true } })
  const bodies = { stream: stream.body, web, response: new Response(file().body as never) }
  fastify.get<{ Params: { name: keyof typeof bodies } }>('/:name', async (request) => {
    count(request)
    return bodies[request.params.name]
  })
  down('create')
  for (const name of Object.keys(bodies)) t.equal((await new Client(fastify).get(`/${name}`)).statusCode, 503, name)
  t.notOk(stream.isOpen())
  t.ok(isCancelled)
})

test('the headers of a body that gives way to an error of the commit are gone', async (t) => {
  const given = {
    'content-type': 'text/csv',
    'content-encoding': 'gzip',
    'content-language': 'de',
    'content-length': '5',
    'content-range': 'bytes 0-4/9',
    'content-disposition': 'attachment',
    etag: '"1"',
    'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT'
  }
  for (const statusCode of [200, 206, 404]) {
    const { store, down } = breakable(openStore(t, 'memory:'))
    const fastify = await buildHost(t, { sessionStore: store })
    fastify.get('/', async (request, reply) => {
      count(request)
      return await reply.code(statusCode).headers(given).send(Buffer.from('12345'))
    })
    down('create')
    const { statusCode: answered, headers, body } = await new Client(fastify).get('/')
    t.equal(answered, 503)
    t.equal(JSON.parse(body).code, 'HATCHECK_STORE_UNAVAILABLE')
    const { 'content-type': type, 'content-length': length, ...gone } = given
    t.notMatch(headers, { 'content-type': type })
    t.notMatch(headers, { 'content-length': length })
    for (const name of Object.keys(gone)) t.equal(headers[name], undefined, `${statusCode} ${name}`)
  }
})

test('a body that gives way to the redirect to the login page is closed, and its headers are gone', async (t) => {
  const files: Array<ReturnType<typeof file>> = []
  const fastify = await buildHost(t, { authenticate: async (name) => ({ name }), loginPath: '/sign-in' })
  fastify.setErrorHandler((_error, _request, reply: FastifyReply) => {
    const opened = file()
    files.push(opened)
    return reply.code(401).headers({ 'content-type': 'text/html', 'content-encoding': 'br', etag: '"1"', 'content-length': '9' }).send(opened.body)
  })
  fastify.get('/', { onRequest: requireLogin }, async () => 'hello')
  for (let i = 0; i < 3; i++) {
    const { statusCode, headers, body } = await new Client(fastify).get('/', { accept: 'text/html' })
    t.match({ statusCode, location: headers.location, body }, { statusCode: 303, location: '/sign-in?next=%2F', body: '' })
    for (const name of ['content-encoding', 'etag', 'content-type']) t.equal(headers[name], undefined, name)
    t.equal(headers['content-length'], '0')
  }
  t.equal(files.length, 3)
  t.notOk(files.some(({ isOpen }) => isOpen()))
})
