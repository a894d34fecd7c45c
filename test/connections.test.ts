import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest, ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { hatcheck, requireLogin } from '../app.js'
import { STORES, appOnPort, closed } from './apps/app-on-port.js'
import { bag, type Bag } from './apps/bag.js'
import { parsedLogInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { buildHost, gate, testKey, turn } from './helper.js'
import { openStore } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

test('a connection without a socket or an address has sessions', async (t) => {
  for (const sessionCookieSecure of ['true', 'false', 'auto'] as const) {
    for (const trustProxy of [false, true, '127.0.0.1']) {
      const h = await appOnPort(t, () => {}, { options: { sessionCookieSecure }, server: { trustProxy } })
      const answer = async (socket: Socket | undefined, url: string, cookie?: string): Promise<{ status: number, cookie: string | undefined }> => {
        const raw: Bag = { method: 'GET', url, headers: { host: 'app.example', ...cookie !== undefined && { cookie } }, httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1, ...socket !== undefined && { socket }, on () {}, removeListener () {} }
        const response = new ServerResponse(raw as never)
        h.fastify.routing(raw as never, response)
        while (!response.writableEnded) await pause(1)
        return { status: response.statusCode, cookie: [response.getHeader('set-cookie') ?? []].flat().map((line) => String(line).split(';')[0])[0] ?? /set-cookie: ([^;]+)/i.exec((response as unknown as Bag)['_header'] as string)?.[1] }
      }
      for (const socket of [undefined, {} as Socket]) {
        const what = `${socket === undefined ? 'no socket' : 'no address'}, secure ${sessionCookieSecure}, trustProxy ${trustProxy}`
        const login = await answer(socket, '/in/harry')
        t.equal(login.status, sessionCookieSecure === 'true' ? 400 : 200, what)
        if (login.status === 400) continue
        t.equal((await answer(socket, '/me', login.cookie)).status, 200)
        t.equal((await answer(socket, '/out', login.cookie)).status, 200)
        t.strictSame(await h.me(login.cookie), { user: null, n: null })
      }
    }
  }

  t.test('a request over a Unix socket has a session', async (t) => {
    // The path of a Unix socket must be short.
    const folder = mkdtempSync(join(tmpdir(), 'hatcheck-'))
    t.teardown(() => { rmSync(folder, { recursive: true }) })
    const path = join(folder, 's')
    const fastify = Fastify() as unknown as FastifyInstance
    t.teardown(() => fastify.close())
    await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, authenticate: (name, password) => password === 'x' ? { name } : null })
    await fastify.listen({ path })
    const client = new Client('http://localhost', { socketPath: path })
    const accept = 'application/json'
    t.equal((await client.post('/login', { client_name: 'harry', password: 'y' }, { accept })).statusCode, 401)
    t.equal((await client.post('/login', { client_name: 'harry', password: 'x' }, { accept })).statusCode, 200)
    const cookie = client.cookieHeader
    t.equal((await client.get('/sessions', { accept })).statusCode, 200)
    t.equal((await client.post('/logout', {}, { accept })).statusCode, 200)
    t.equal((await client.get('/sessions', { cookie, accept })).statusCode, 401)
  })
})

/** Sends a login to the port in its argument, and resets the connection. */
const VANISHING = `
const body = 'client_name=harry&password=x'
const socket = require('node:net').connect(process.argv[1], '127.0.0.1', () => {
  socket.write('POST /login HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/x-www-form-urlencoded\\r\\nContent-Length: ' + body.length + '\\r\\n\\r\\n' + body, () => socket.resetAndDestroy())
})`

test('a login of a client that reset its connection before it was accepted is not checked, since it has no address', async (t) => {
  const asked: string[] = []
  const fastify = await buildHost(t, { routes: true, authenticate: (name) => { asked.push(name); return null } })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  const requests: unknown[] = []
  fastify.server.on('request', (request) => { requests.push(request) })
  const accepted = once(fastify.server, 'connection') as Promise<[Socket]>
  // The server cannot accept while it waits for the other process.
  t.equal(spawnSync(process.execPath, ['-e', VANISHING, String(port)]).status, 0)
  const [socket] = await accepted
  await closed(socket)
  t.strictSame([requests.length, asked], [0, []])

  t.equal((await new Client(`http://127.0.0.1:${port}`).post('/login', { client_name: 'sally', password: 'x' })).statusCode, 401)
  t.strictSame(asked, ['sally'], 'every other client gets an answer')
})

test('a client that goes away during its login causes no error in the log, and gets no session', async (t) => {
  const log: Bag[] = []
  let leave = async (): Promise<void> => {}
  const authenticate = async (name: string): Promise<{ name: string }> => {
    await leave()
    return { name }
  }
  const fastify = await buildHost(t, { routes: true, authenticate }, parsedLogInto(log, 'info'))
  fastify.post('/own-login', async (request) => {
    await leave()
    await request.login('harry')
  })
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  for (const path of ['/login', '/own-login']) {
    const client = httpRequest({ port, host: '127.0.0.1', method: 'POST', path, headers: { 'content-type': 'application/json' } })
    const connected = once(fastify.server, 'connection') as Promise<[Socket]>
    leave = async () => {
      const [socket] = await connected
      client.destroy()
      await closed(socket)
    }
    client.on('error', () => {}).end('{"client_name":"harry","password":"x"}')
    await until('the login has failed', () => log.some(({ err }) => err?.code === 'HATCHECK_NO_COOKIE'))
    t.match(log.filter(({ err }) => err !== undefined), [{ level: 30, err: { message: 'The client has gone, so it cannot get the cookie of this session. Nothing is stored.' } }], path)
    t.match(log.filter(({ level }) => level > 30), path === '/login' ? [{ event: 'authn_login_fail', reason: 'client_gone' }] : [])
    log.length = 0
  }
  t.equal((await fastify.sessions.ofUser('harry')).length, 0)
})

test('injectWS of @fastify/websocket has the session of an injected request', async (t) => {
  for (const store of STORES) {
    for (const server of [{}, { trustProxy: true }]) {
      const h = await appOnPort(t, (fastify) => {
        fastify.get('/socket', { websocket: true, onRequest: requireLogin }, (socket, request) => {
          socket.on('message', async (message: Buffer) => {
            if (message.toString() === 'out') await request.logout()
            else bag(request)['n'] = message.toString()
            await request.session.save()
            socket.send(`${request.user?.name} ${bag(request)['n']}`)
          })
        })
      }, { store, server, before (fastify) { fastify.register(websocket) } })
      const { fastify } = h
      await t.rejects(fastify.injectWS('/socket'), /401/)
      const login = await fastify.inject('/in/harry')
      const cookie = String(login.headers['set-cookie']).split(';')[0] as string
      const say = async (message: string, headers: Record<string, string>): Promise<string> => {
        const socket = await fastify.injectWS('/socket', { headers })
        const answered = once(socket, 'message')
        socket.send(message)
        const [answer] = await answered
        socket.terminate()
        return String(answer)
      }
      for (const headers of [{ cookie }, { cookie, host: 'localhost' }]) t.equal(await say('1', headers), 'harry 1')
      await t.rejects(fastify.injectWS('/socket', { headers: { cookie, host: 'shop.example' } }), /401/, 'the cookie of http is none of a public site')
      t.equal(await say('out', { cookie }), 'undefined undefined')
      t.strictSame(await h.me(cookie), { user: null, n: null })
    }
  }
})

test('on an upgraded connection, calls that need a new cookie are refused, and other calls work', async (t) => {
  const outcomes: Record<string, string> = {}
  const note = async (name: string, work: () => unknown): Promise<void> => {
    try {
      await work()
      outcomes[name] = 'done'
    } catch (error) {
      outcomes[name] = (error as { code: string }).code
    }
  }
  const h = await appOnPort(t, (fastify) => {
    fastify.get('/socket', async (request, reply) => {
      const socket = request.raw.socket
      reply.hijack()
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n')
      await note('login', () => request.login('ann'))
      await note('save', async () => {
        bag(request)['n'] = 1
        await request.session.save()
      })
      if (request.user !== null) await note('logout', () => request.logout())
      await note('set', () => { bag(request)['m'] = 1 })
      socket.end('bye')
      await closed(socket)
      await turn()
      await note('set when closed', () => { bag(request)['m'] = 2 })
    })
    fastify.server.on('upgrade', (raw, socket) => {
      const response = new ServerResponse(raw)
      response.assignSocket(socket as Socket)
      fastify.routing(raw, response)
    })
  })
  // An upgrade has no answer, so that a Client would fail.
  const upgrade = (cookie?: string): Promise<void> => new Promise((resolve, reject) => {
    const { port } = h.fastify.server.address() as AddressInfo
    const request = httpRequest({ port, host: '127.0.0.1', path: '/socket', headers: { connection: 'upgrade', upgrade: 'echo', ...cookie !== undefined && { cookie } } })
    request.on('upgrade', (_response, socket) => {
      socket.resume()
      socket.on('end', () => { socket.end() })
      socket.on('close', () => { resolve() })
    })
    request.on('error', reject)
    request.end()
  })
  await upgrade()
  await until('the handler is done', () => 'set when closed' in outcomes && h.log.length > 0)
  t.strictSame(outcomes, { login: 'HATCHECK_NO_COOKIE', save: 'HATCHECK_NO_COOKIE', set: 'done', 'set when closed': 'done' }, 'a stranger')
  t.equal(await h.stored(), 0)
  t.equal(h.log.length, 1, 'one warning')
  h.log.length = 0
  for (const key of Object.keys(outcomes)) delete outcomes[key]
  const { cookie } = await h.ask('/in/harry')
  await upgrade(cookie)
  await until('the handler is done', () => 'set when closed' in outcomes && h.log.length > 0)
  t.strictSame(outcomes, { login: 'HATCHECK_NO_COOKIE', save: 'done', logout: 'done', set: 'done', 'set when closed': 'done' }, 'a user')
  t.strictSame(await h.me(cookie), { user: null, n: null })
  t.equal(h.log.length, 1, 'one warning')
})

test('sessions work over HTTP/2', async (t) => {
  const log: Bag[] = []
  const fastify = Fastify({ http2: true, ...parsedLogInto(log, 'warn') } as never) as unknown as FastifyInstance
  t.teardown(() => fastify.close())
  const sessions = openStore(t, 'memory:')
  await fastify.register(hatcheck, { sessionStore: sessions, secretKey: testKey })
  let seen = ''
  const begun = gate()
  fastify.get('/in', async (request) => { await request.login('harry'); return 'in' })
  fastify.get('/me', async (request) => request.user?.name ?? 'nobody')
  fastify.get('/out', async (request, reply) => { reply.hijack(); await request.logout(); reply.raw.end('out') })
  fastify.get('/set', (request, reply) => { bag(request)['n'] = 1; reply.hijack(); reply.raw.end('x') })
  fastify.get('/save', async (request, reply) => { bag(request)['n'] = 1; reply.hijack(); await request.session.save(); reply.raw.end('x') })
  const shared = ['cache-control', 'public', 'set-cookie', 'own=1', 'x-own', '1']
  fastify.get('/head/list', async (request, reply) => { await request.login('harry'); reply.hijack().raw.writeHead(200, shared).end('x') })
  fastify.get('/head/pairs', async (request, reply) => {
    await request.login('harry')
    reply.hijack().raw.writeHead(200, [shared.slice(0, 2), shared.slice(2, 4), shared.slice(4)] as never).end('x')
  })
  fastify.get('/gone', async (request, reply) => {
    reply.raw.on('close', () => {
      request.login('ann').then(() => { seen = 'in' }, (error: { code: string }) => { seen = error.code })
    })
    begun.open()
    await closed(reply.raw)
    return 'x'
  })
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  const client = connectHttp2(`http://127.0.0.1:${(fastify.server.address() as AddressInfo).port}`)
  t.teardown(() => { client.destroy() })
  const ask = async (path: string, cookie?: string): Promise<{ headers: Bag, body: string, cookie: string | undefined }> => {
    const stream = client.request({ ':path': path, ...cookie !== undefined && { cookie } })
    const [headers] = await once(stream, 'response') as [Bag]
    let body = ''
    for await (const chunk of stream) body += String(chunk)
    return { headers, body, cookie: ([headers['set-cookie'] ?? []].flat() as string[])[0]?.split(';')[0] }
  }
  const { cookie } = await ask('/in')
  t.equal((await ask('/me', cookie)).body, 'harry')
  await ask('/set', cookie)
  await until('the loss is in the log', () => log.length > 0)
  t.equal(log.length, 1, 'one warning')
  await ask('/out', cookie)
  t.equal((await ask('/me', cookie)).body, 'nobody')
  const saved = await ask('/save')
  t.ok(saved.cookie)
  t.match(saved.headers, { 'cache-control': 'no-store', vary: 'Cookie' })
  for (const form of ['list', 'pairs']) {
    const { headers } = await ask(`/head/${form}`)
    t.match(headers, { 'cache-control': 'no-store', vary: 'Cookie', 'x-own': '1', 'set-cookie': [/^hatcheck=/, 'own=1'] }, `a head of its own as a ${form}`)
  }
  const before = await sessions.count()
  const stream = client.request({ ':path': '/gone' })
  stream.on('error', () => {})
  await begun.passed
  stream.close(8)
  await until('the login has ended', () => seen !== '')
  t.equal(seen, 'HATCHECK_NO_COOKIE')
  t.equal(await sessions.count(), before)
})
