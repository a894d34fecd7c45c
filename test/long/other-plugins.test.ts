import Fastify, { type FastifyInstance } from 'fastify'
import { createHash, createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t, type Test } from 'tap'
import { hatcheck, type HatcheckOptions } from '../../app.js'
import { Client, type Answer } from '../clients/client.js'
import { newFastify, testKey } from '../helper.js'
import { pageAt } from '../pages/pages.js'
import { blocksOf } from '../pages/walk.js'
import { run, startProgram } from '../processes/child.js'

const page = pageAt('docs/other-plugins.md')

const RIGHT = { username: 'Harry', password: 'correct horse battery' }

const KEYS = { SECRET_KEY: testKey, JWT_SECRET: `jwt ${testKey}`, CLIENT_SECRET: `client ${testKey}` }

type Change = (example: string) => string

/** Writes the example of the page that contains a text into a file, as its reader would. */
function programOf (t: Test, text: string, change: Change): { file: string, folder: string } {
  const example = blocksOf(page, 'js').find((block) => block.includes('listen') && block.includes(text)) ?? ''
  const folder = t.testdir()
  const file = join(folder, 'app.mjs')
  writeFileSync(file, change(example).replace('port: 3000', 'port: 0').replace('Fastify()', 'Fastify({ logger: true })'))
  return { file, folder }
}

/** Starts an example, and returns clients of it: each is another browser. */
async function start (t: Test, text: string, change: Change = (example) => example): Promise<{ client: Client, beside: () => Client }> {
  const { file, folder } = programOf(t, text, change)
  const { address, stop } = await startProgram(process.execPath, [file], folder, KEYS)
  t.teardown(stop)
  return { client: new Client(address), beside: () => new Client(address) }
}

t.test('every example of the page runs in a test', async (t) => {
  t.equal(blocksOf(page, 'js').filter((block) => block.includes('listen')).length, 6)
})

t.test('passport keeps its login in the session of hatcheck', async (t) => {
  const { client, beside } = await start(t, 'passport.secureSession()')
  t.equal((await client.get('/')).body, 'Hello visitor')
  t.equal((await client.post('/login', { ...RIGHT, password: 'wrong' })).statusCode, 401)
  t.equal((await client.get('/')).body, 'Hello visitor')
  t.match(await client.post('/login', RIGHT), { statusCode: 302, headers: { location: '/' } })
  t.equal((await client.get('/')).body, 'Hello Harry', 'the next request has the user')
  t.equal((await beside().get('/')).body, 'Hello visitor')

  const first = client.cookieHeader
  await client.post('/login', RIGHT)
  t.not(client.cookieHeader, first, 'a login changes the ID')
  t.equal((await beside().get('/', { cookie: first })).body, 'Hello visitor', 'and ends the former')

  const second = client.cookieHeader
  t.equal((await client.post('/logout')).statusCode, 303)
  t.equal((await client.get('/')).body, 'Hello visitor')
  t.equal((await beside().get('/', { cookie: second })).body, 'Hello visitor', 'a copy of the cookie grants no access')
})

t.test('passport checks, and hatcheck keeps the login', async (t) => {
  const { client, beside } = await start(t, 'beginSession(')
  t.equal((await client.get('/')).statusCode, 401)
  t.equal((await client.post('/login', { ...RIGHT, password: 'wrong' })).statusCode, 401)
  t.equal((await client.get('/')).statusCode, 401)
  t.equal((await client.post('/login', RIGHT)).statusCode, 303)
  t.equal((await client.get('/')).body, 'Hello Harry')
  const copy = client.cookieHeader
  await client.post('/logout')
  t.equal((await client.get('/')).statusCode, 401)
  t.equal((await beside().get('/', { cookie: copy })).statusCode, 401)
})

t.test('@fastify/flash keeps its messages in the session of hatcheck', async (t) => {
  const { client } = await start(t, 'reply.flash()')
  t.equal((await client.send({ method: 'POST', url: '/cart' })).statusCode, 303)
  t.same((await client.get('/')).json(), { info: ['The apple is in your cart.'] })
  t.same((await client.get('/')).json(), {}, 'once')
})

t.test('@fastify/jwt has request.user, and hatcheck another name', async (t) => {
  const { client, beside } = await start(t, 'jwtVerify()')
  t.equal((await client.get('/page')).body, 'null')
  const { token } = (await client.send({ method: 'POST', url: '/login' })).json<{ token: string }>()
  t.match((await client.get('/page')).json(), { name: 'Harry' })
  t.equal((await client.get('/api')).statusCode, 401, 'a session is no token')
  const bearer = beside()
  t.match((await bearer.get('/api', { authorization: `Bearer ${token}` })).json(), { name: 'Harry', scope: 'read' })
  t.equal((await bearer.get('/page', { authorization: `Bearer ${token}` })).body, 'null', 'a token is no session')
})

t.test('passport finds the user of an adopted session of express-session, as the page about it says', async (t) => {
  const [user, data] = /pass\s+`(user: .*)` and `(data: .*)`\./.exec(pageAt('docs/from-express-session.md'))?.slice(1) ?? []
  const store = "{ get: (id, done) => done(null, { cookie: {}, cart: ['apple'], passport: { user: '1' } }), destroy: (id, done) => done(null) }"
  const { client, beside } = await start(t, 'passport.secureSession()', (example) => example
    .replace('decorators:', `adopt: [{ cookie: 'connect.sid', secret: 'old', store: ${store}, ${user}, ${data} }],\n  decorators:`)
    .replace('await app.listen', "app.get('/cart', async ({ session }) => session.cart)\nawait app.listen"))
  const old = `connect.sid=${encodeURIComponent(`s:old-id.${createHmac('sha256', 'old').update('old-id').digest('base64').replace(/=+$/, '')}`)}`
  t.equal((await client.get('/', { cookie: old })).body, 'Hello Harry')
  t.equal((await client.get('/cart')).body, '["apple"]')
  t.equal((await beside().get('/')).body, 'Hello visitor')
})

t.test('@fastify/oauth2 logs in through a provider', async (t) => {
  const provider = await startProvider(t)
  const { client, beside } = await start(t, 'app.provider', (example) => example.replace('https://login.example.com', provider))
  t.equal((await client.get('/')).statusCode, 401)
  const login = String((await client.get('/?page=2', { accept: 'text/html' })).headers['location'])
  const there = String((await client.get(login)).headers['location'])
  t.ok(there.startsWith(`${provider}/authorize?`))
  const back = new URL((await fetch(there, { redirect: 'manual' })).headers.get('location') ?? '')
  t.equal((await beside().get(`${back.pathname}${back.search}`)).statusCode, 500, 'another browser has not begun this login')
  t.match(await client.get(`${back.pathname}${back.search}`), { statusCode: 302, headers: { location: '/?page=2' } })
  t.equal((await client.get('/?page=2')).body, 'Hello Harry')
})

t.test('@fastify/csrf-protection keeps its secret in the session of hatcheck', async (t) => {
  const { client, beside } = await start(t, 'csrfProtection')
  const token = (await client.get('/token')).body
  t.equal((await client.send({ method: 'POST', url: '/transfer' })).statusCode, 403)
  const transfer = (from: Client): Promise<Answer> => from.send({ method: 'POST', url: '/transfer', headers: { 'csrf-token': token } })
  t.equal((await transfer(client)).body, 'transferred')
  t.equal((await transfer(beside())).statusCode, 403, 'the token of another session')
})

t.test('with the default names, each error about passport names a decoration to leave out', async (t) => {
  // Loaded without its types, which would change those of every test.
  const name = '@fastify/passport'
  const { Authenticator } = await import(name)
  const decorators: Record<string, false> = { flash: false }
  const build = (): FastifyInstance => {
    const app = newFastify(t)
    app.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', decorators } as HatcheckOptions)
    app.register(new Authenticator().initialize())
    return app
  }
  for (const name of ['login', 'logout', 'user']) {
    await t.rejects(async () => { await build().ready() }, { code: 'FST_ERR_DEC_ALREADY_PRESENT', message: messageFor(name) })
    decorators[name] = false
  }
  await build().ready()
})

for (const [other, text, name] of [['@fastify/flash', 'reply.flash()', 'flash'], ['@fastify/jwt', 'jwtVerify()', 'user']] as const) {
  t.test(`with the default names, the error about ${other} has the name and the plugin`, async (t) => {
    // Fastify lets the error of a plugin with a callback end the process.
    const { file, folder } = programOf(t, text, (example) => example.replace(/, decorators: .* \}\)/, ' })'))
    t.match(await run(process.execPath, [file], folder, KEYS), { code: 1, stderr: new RegExp(`${messageFor(name).source}.*${other}`, 's') })
  })
}

function messageFor (name: string): RegExp {
  return new RegExp(`The decorator '${name}' has already been added!`)
}

/** An OAuth 2 provider that lets everybody in as Harry, once for each code. */
async function startProvider (t: Test): Promise<string> {
  const provider = Fastify()
  t.teardown(() => provider.close())
  const challenges = new Map<string, string>()
  provider.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => { done(null, Object.fromEntries(new URLSearchParams(String(body)))) })
  provider.get<{ Querystring: Record<string, string> }>('/authorize', async ({ query }, reply) => {
    const code = `code-${challenges.size}`
    challenges.set(code, String(query['code_challenge']))
    return reply.redirect(`${query['redirect_uri']}?${String(new URLSearchParams({ code, state: String(query['state']) }))}`)
  })
  provider.post<{ Body: Record<string, string> }>('/token', async ({ body }, reply) => {
    const { code = '', code_verifier: verifier = '' } = body
    const isRight = challenges.get(code) === createHash('sha256').update(verifier).digest('base64url')
    challenges.delete(code)
    return isRight ? { access_token: 'for Harry', token_type: 'Bearer' } : reply.code(400).send({ error: 'invalid_grant' })
  })
  provider.get('/userinfo', async ({ headers }, reply) => headers.authorization === 'Bearer for Harry' ? { sub: '1', name: 'Harry' } : reply.code(401).send())
  return await provider.listen({ port: 0, host: '127.0.0.1' })
}
