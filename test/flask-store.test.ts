import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { hatcheck } from '../app.js'
import { createFlaskSigner } from '../plugins/storage/flask/signature.js'
import { messagesInto } from './apps/log-lines.js'
import { Client, cookiesSetBy, type Headers } from './clients/client.js'
import { build, buildHost, newFastify, testKey } from './helper.js'
import { textIn } from './programs/flask.js'

const OPTIONS = { sessionStore: 'flask:memory:', sessionRevocation: 'none' } as const
const seconds = (): number => Math.floor(Date.now() / 1000)

/** The cookie of a session of Flask, as a header has it. */
function flaskCookie (json: string, { key = testKey, age = 0 } = {}): { cookie: string } {
  return { cookie: `session=${createFlaskSigner([Buffer.from(key)]).sign(Buffer.from(json).toString('base64url'), seconds() - age)}` }
}

/** The JSON in the session cookie of a client; undefined if it has none. */
function jsonOf (client: Client): string | undefined {
  const value = client.cookies.get('session')
  return value === undefined ? undefined : textIn(value)
}

async function host (t: Test, options = {}): Promise<FastifyInstance> {
  const fastify = await buildHost(t, { ...OPTIONS, ...options })
  fastify.get('/', async ({ user, session }) => ({ user: user?.name ?? null, values: { ...session }, permanent: session.permanent }))
  fastify.post('/login', async (request) => {
    await request.login('Harry')
    return {}
  })
  fastify.post('/set', async ({ session, body }) => { Object.assign(session, body) })
  fastify.post('/logout', async (request) => { await request.logout() })
  return fastify
}

const whoIs = async (fastify: FastifyInstance, headers: Headers): Promise<unknown> => (await new Client(fastify).get('/', headers)).json().user

test('a login in Flask is request.user, and a login in hatcheck is session["client_name"]', async (t) => {
  const fastify = await host(t)
  t.match((await new Client(fastify).get('/', flaskCookie('{"_permanent":true,"cart":{" t":[1,{" b":"/wA="}]},"client_name":"Harry"}'))).json(), {
    user: 'Harry', permanent: true, values: { cart: [1, '/wA='], client_name: 'Harry' }
  })
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: '/login' })
  t.match(JSON.parse(jsonOf(client) ?? ''), { client_name: 'Harry', authenticatedAt: Number, 'hatcheck:client': undefined })
  await client.send({ method: 'POST', url: '/logout' })
  t.equal(jsonOf(client), undefined)
})

test('the cookie has the name and the attributes of Flask, beside those that hatcheck requires', async (t) => {
  const answer = await (await host(t)).inject({ method: 'POST', url: '/login' })
  t.match(answer.headers['set-cookie'], /^session=[\w.-]+; Path=\/; HttpOnly; SameSite=Lax$/)
  const permanent = flaskCookie('{"_permanent":true,"x":1}')
  const changed = await (await host(t)).inject({ method: 'POST', url: '/set', payload: { y: 1 }, headers: permanent })
  t.match(changed.headers['set-cookie'], /^session=[\w.-]+; Max-Age=26784\d\d; Path=\/; HttpOnly; SameSite=Lax$/)
})

test('a login keeps the values of Flask as they were, and a change of one leaves the others', async (t) => {
  const fastify = await host(t)
  const client = new Client(fastify)
  const values = '"_flashes":[{" t":["info","hi"]}],"big":9007199254740993,"id":{" u":"12345678123456781234567812345678"}'
  await client.send({ method: 'POST', url: '/login', headers: flaskCookie(`{${values}}`) })
  t.ok(jsonOf(client)?.startsWith('{"_flashes":[{" t":["info","hi"]}],"authenticatedAt":'))
  await client.send({ method: 'POST', url: '/set', payload: { y: 0.5 } })
  t.match(jsonOf(client), /^\{"_flashes":\[\{" t":\["info","hi"\]\}\],"authenticatedAt":\d+,"big":9007199254740993,"client_name":"Harry","id":\{" u":"12345678123456781234567812345678"\},"y":0.5\}$/)
  // Another user gets none of them.
  const other = new Client(fastify)
  await other.send({ method: 'POST', url: '/login', headers: flaskCookie(`{${values},"client_name":"Tom"}`) })
  t.match(jsonOf(other), /^\{"authenticatedAt":\d+,"client_name":"Harry"\}$/)
})

test('an expired, a tampered and a foreign cookie is an anonymous visitor; one of a fallback key is signed again', async (t) => {
  const old = `${testKey} of last year`
  const fastify = await host(t, { secretKeyFallbacks: [old] })
  const json = '{"client_name":"Harry"}'
  const { cookie } = flaskCookie(json)
  for (const bad of [flaskCookie(json, { age: 31 * 86_400 + 1 }).cookie, cookie.replace('.', 'A.'), cookie.slice(0, -1), flaskCookie(json, { key: 'other' }).cookie]) {
    t.equal(await whoIs(fastify, { cookie: bad }), null)
  }
  t.equal(await whoIs(fastify, flaskCookie(json, { age: 31 * 86_400 - 5 })), 'Harry')
  const client = new Client(fastify)
  t.equal((await client.get('/', flaskCookie(json, { key: old }))).json().user, 'Harry')
  t.equal(jsonOf(client), json)
  t.ok(createFlaskSigner([Buffer.from(testKey)]).verify(client.cookies.get('session') ?? ''))
})

test('a session that is in use is signed again, once it is older than a twentieth of its lifetime', async (t) => {
  const fastify = await host(t, { permanentSessionLifetime: 1_000 })
  const json = '{"client_name":"Harry"}'
  t.equal(cookiesSetBy(await fastify.inject({ url: '/', headers: flaskCookie(json, { age: 40 }) })).length, 0)
  const [set] = cookiesSetBy(await fastify.inject({ url: '/', headers: flaskCookie(json, { age: 60 }) }))
  t.equal(textIn(set?.value ?? ''), json)
  t.equal(await whoIs(fastify, flaskCookie(json, { age: 1_005 })), null)
})

test('a handler cannot write client_name, since that would be a login in Flask', async (t) => {
  const fastify = await host(t)
  const client = new Client(fastify)
  const answer = await client.send({ method: 'POST', url: '/set', payload: { client_name: 'Tom' } })
  t.match(answer.json(), { code: 'HATCHECK_FLASK_USER' })
  t.equal(jsonOf(client), undefined)
  t.match((await client.send({ method: 'POST', url: '/set', payload: { client_name: 'Tom' }, headers: flaskCookie('{"client_name":"Harry"}') })).json(), { code: 'HATCHECK_FLASK_USER' })
})

test('a cookie that the browser would drop is refused, and the browser keeps the session that it had', async (t) => {
  const fastify = await host(t)
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: '/set', payload: { x: 1 } })
  for (const value of [randomBytes(4_000).toString('base64'), 'é'.repeat(3_000)]) {
    t.match((await client.send({ method: 'POST', url: '/set', payload: { value } })).json(), { statusCode: 413, code: 'HATCHECK_SESSION_TOO_LARGE' })
  }
  t.equal(jsonOf(client), '{"x":1}')
})

test('a login in Flask never counts as recent: sensitive actions ask for the password again', async (t) => {
  const fastify = await build(t, OPTIONS)
  const answer = await new Client(fastify).get('/whoami', { ...flaskCookie('{"client_name":"Harry"}'), accept: 'application/json' })
  t.match(answer.json(), { user: { name: 'Harry', authenticatedAt: '1970-01-01T00:00:00.000Z' } })
})

test('the pages work, and a logout removes the cookie of the browser only', async (t) => {
  const fastify = await build(t, OPTIONS)
  const client = new Client(fastify)
  t.equal((await client.login()).statusCode, 303)
  const copy = client.cookie('session')
  t.equal((await client.put('/session/cart', ['apple'])).statusCode, 201)
  t.match(jsonOf(client), /"cart":\["apple"\]/)
  t.equal((await client.put('/session/client_name', 'Tom')).statusCode, 403)
  t.equal((await client.get('/logout')).statusCode, 303)
  t.equal(jsonOf(client), undefined)
  t.match((await client.get('/', { accept: 'application/json', cookie: copy })).json(), { user: { name: 'Harry' } })
})

test('the start logs the losses, and is refused without sessionRevocation: none', async (t) => {
  const lines: string[] = []
  await build(t, OPTIONS, messagesInto(lines, 'warn'))
  for (const part of [/signs them and does not encrypt them/, /a copy of it stays logged in/, /hatcheck cannot list them/]) t.ok(lines.some((line) => part.test(line)), String(part))

  const refused = (options: object): Promise<unknown> => t.rejects(async () => { await newFastify(t).register(hatcheck, { secretKey: testKey, ...options } as never) }, { code: 'HATCHECK_CONFIG' })
  await refused({ sessionStore: 'flask:memory:' })
  await refused({ sessionStore: 'flask:memory:', sessionRevocation: 'store' })
  for (const clock of ['sessionIdleTimeout', 'sessionLifetime', 'permanentSessionIdleTimeout']) await refused({ ...OPTIONS, [clock]: 3_600 })
})
