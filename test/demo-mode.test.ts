import { test } from 'tap'
import { isLoopback } from '../plugins/common/loopback.js'
import { readEnvironment } from '../plugins/config/environment.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { buildFrom } from './apps/configured.js'
import { Client } from './clients/client.js'
import { build, sessionCookieOf, testKey } from './helper.js'

test('demo mode is on only for loopback, and only without settings that imply a deployment', async (t) => {
  for (const HOST of ['127.0.0.1', '127.0.0.2', 'localhost', 'LOCALHOST', 'app.localhost', '::1', '[::1]']) {
    t.ok(isLoopback(HOST), HOST)
    if (isLoopback(HOST)) t.equal(readEnvironment({ HOST }).mode, 'demo', HOST)
  }
  for (const [variable, value] of [['SECRET_KEY', testKey], ['SECRET_KEY_FILE', 'key'], ['TRUST_PROXY', '127.0.0.1'], ['SIGNUP', 'open'], ['SIGNUP', 'closed']] as const) {
    t.equal(readEnvironment({ [variable]: value }).mode, 'service', variable)
    t.equal(readEnvironment({ HOST: 'localhost', [variable]: value }).mode, 'service', variable)
  }
  t.equal(readEnvironment({ DATA_DIR: 'x', PORT: '0', SESSION_STORE: 'memory:', LOG_LEVEL: 'warn' }).mode, 'demo')
  t.equal(readEnvironment({ HOST: '0.0.0.0', SECRET_KEY: testKey }).mode, 'service')
  for (const host of ['0.0.0.0', '::', '192.0.2.1', '127.0.0.1.example.com', 'localhost.example.com', 'notlocalhost', '127.1', '', '::2']) t.notOk(isLoopback(host), host)

  t.match(resolveConfig({}, 'demo'), { signup: 'open', passwordMinLength: 8 })
  t.match(resolveConfig({}, 'service'), { signup: 'closed', passwordMinLength: 15 })
  t.match(resolveConfig({ passwordMinLength: 20 }, 'demo'), { signup: 'open', passwordMinLength: 20 })
})

test('demo mode answers only this machine, and service mode has no such guard', async (t) => {
  const demo = await build(t)
  const service = await build(t, { mode: 'service' })
  const statusOf = async (fastify: typeof demo, headers: Record<string, string>, method: 'GET' | 'POST' = 'GET'): Promise<number> =>
    (await fastify.inject({ method, url: method === 'GET' ? '/' : '/logout', headers })).statusCode
  for (const host of ['127.0.0.1:3000', 'localhost', 'LOCALHOST:3000', 'app.localhost:3000', '[::1]:3000']) t.equal(await statusOf(demo, { host }), 200, host)
  for (const host of ['hatcheck.example.com', '192.0.2.1:3000', '127.0.0.1.example.com', 'localhost.example.com:3000', '0.0.0.0:3000', '[::2]:3000']) {
    t.equal(await statusOf(demo, { host }), 403, host)
    t.equal(await statusOf(demo, { host }, 'POST'), 403, host)
    t.equal(await statusOf(service, { host }), 200, host)
  }
  for (const header of ['forwarded', 'via', 'x-real-ip', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'X-Forwarded-Prefix']) {
    const headers = { host: 'localhost:3000', [header]: 'localhost' }
    t.equal(await statusOf(demo, headers), 403, header)
    t.equal(await statusOf(demo, headers, 'POST'), 403, header)
    t.equal(await statusOf(service, headers), 200, header)
  }
  const refused = await new Client(demo).post('/login', { client_name: 'Harry', password: '12345678' }, { 'x-forwarded-for': '127.0.0.1' })
  t.match(refused.json(), { status: 403, code: 'HATCHECK_DEMO_MODE' })
  t.equal(refused.headers['set-cookie'], undefined)
})

test('beyond loopback the cookie is Secure, and a login over http is refused with the reason', async (t) => {
  const client = new Client(await buildFrom(t, { HOST: '0.0.0.0', SECRET_KEY: testKey, SIGNUP: 'open', TRUST_PROXY: '127.0.0.1' }))
  const plain = await client.login()
  t.equal(plain.statusCode, 400)
  t.match(plain.json(), { code: 'HATCHECK_INSECURE_TRANSPORT', detail: /https.*TRUST_PROXY.*SESSION_COOKIE_SECURE=false/ })
  t.equal(plain.headers['set-cookie'], undefined)
  const secure = await client.post('/login', { client_name: 'Harry', password: 'correct horse battery' }, { 'x-forwarded-proto': 'https' })
  t.equal(secure.statusCode, 303)
  t.match(sessionCookieOf(secure), /^__Host-hatcheck=/)

  const insecure = new Client(await buildFrom(t, { HOST: '0.0.0.0', SECRET_KEY: testKey, SIGNUP: 'open', SESSION_COOKIE_SECURE: 'false' }))
  t.match(sessionCookieOf(await insecure.login('Harry', 'correct horse battery')), /^hatcheck=\S+; Path=\/; HttpOnly; SameSite=Lax$/i)
})

test('the pages say that demo mode is on, and no others do', async (t) => {
  for (const [mode, says] of [['demo', true], ['service', false]] as const) {
    const { body } = await (await build(t, { mode })).inject('/login')
    t.equal(body.includes('Demo mode: logging in with a new name creates the account.'), says, mode)
  }
})
