import type { FastifyInstance } from 'fastify'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { hatcheck } from '../../app.js'
import { OPTIONS, SESSION_OPTIONS } from '../../plugins/config/table.js'
import { hatcheckSession, type SessionOptions } from '../../plugins/session/standalone.js'
import { Client } from '../clients/client.js'
import { newFastify, testKey } from '../helper.js'
import { run } from '../processes/child.js'

const memory = { secretKey: testKey, sessionStore: 'memory:' } satisfies SessionOptions

test('hatcheck/session adds request.session, request.loadSession and app.sessions, and nothing else', async (t) => {
  const fastify = newFastify(t)
  let held: FastifyInstance | undefined
  await fastify.register(async (scope) => {
    const before = namesOf(scope)
    await scope.register(hatcheckSession, memory)
    t.same(namesOf(scope).filter((name) => !before.includes(name)), ['app sessions', 'request loadSession', 'request session'])
    held = scope
  })
  await fastify.ready()
  t.ok(held)
})

/** Every name that a scope, its requests and its replies can have by a decoration of hatcheck or of a package that it uses. */
function namesOf (scope: FastifyInstance): string[] {
  const names = ['hatcheck', 'accounts', 'requireLogin', 'sessions', 'session', 'loadSession', 'user', 'login', 'logout', 'flash', 'flashes', 'cookies',
    'parseCookie', 'serializeCookie', 'signCookie', 'unsignCookie', 'setCookie', 'cookie', 'clearCookie', 'sessionStore', 'decryptSession', 'destroySession', 'swagger']
  return names.flatMap((name) => [
    ...name in scope ? [`app ${name}`] : [],
    ...scope.hasRequestDecorator(name) ? [`request ${name}`] : [],
    ...scope.hasReplyDecorator(name) ? [`reply ${name}`] : []
  ]).sort()
}

test('hatcheck/session keeps the session of a visitor and ends it', async (t) => {
  const fastify = newFastify(t)
  await fastify.register(hatcheckSession, memory)
  fastify.get('/', async ({ session }) => {
    session.set('visits' as never, (session.get('visits' as never) ?? 0) + 1 as never)
    return String(session.get('visits' as never))
  })
  fastify.get('/early', { onRequest: async (request) => { await request.loadSession() } }, async ({ session }) => session.keys())
  fastify.post('/end', async ({ session }) => { await session.destroy() })
  const visitor = new Client(fastify)
  t.equal((await visitor.get('/')).body, '1')
  t.equal((await visitor.get('/')).body, '2')
  t.equal((await visitor.get('/early')).body, '["visits"]')
  t.equal((await new Client(fastify).get('/')).body, '1')
  await visitor.send({ method: 'POST', url: '/end' })
  t.equal((await visitor.get('/')).body, '1')
})

test('hatcheck/session refuses the options of logins and pages, and unknown ones', async (t) => {
  for (const option of Object.keys(OPTIONS).filter((option) => !(option in SESSION_OPTIONS))) {
    await t.rejects(register({ ...memory, [option]: true }), {
      code: 'HATCHECK_CONFIG', message: `${option} is not an option of hatcheck/session, which has no logins and no pages: register hatcheck instead.`
    })
  }
  await t.rejects(register({ ...memory, secret: 'x' } as never), { code: 'HATCHECK_CONFIG', message: 'secret is not an option of hatcheck/session. Did you mean secretKey, secretKeyFile or secretKeyFallbacks?' })
  await t.rejects(register({ sessionStore: 'memory:' } as never), { code: 'HATCHECK_CONFIG', message: /secretKey/ })

  async function register (options: SessionOptions): Promise<void> {
    await newFastify(t).register(hatcheckSession, options)
  }
})

test('sessions are registered once in a scope, by hatcheck or by hatcheck/session', async (t) => {
  const refused = { code: 'HATCHECK_CONFIG', message: /^hatcheck is already registered in this scope or in one around it\. Register / }
  for (const [first, second] of [[hatcheckSession, hatcheckSession], [hatcheckSession, hatcheck], [hatcheck, hatcheckSession]]) {
    const fastify = newFastify(t)
    await fastify.register(first as typeof hatcheck, memory)
    await t.rejects(async () => { await fastify.register(second as typeof hatcheck, memory) }, refused)
  }
  const beside = newFastify(t)
  for (const plugin of [hatcheckSession, hatcheck]) beside.register(async (scope) => { await scope.register(plugin as typeof hatcheck, memory) })
  await beside.ready()
})

const HOST = `import Fastify from 'fastify'
import hatcheckSession from 'hatcheck/session'
const app = Fastify()
app.register(hatcheckSession, { secretKey: '${testKey}', sessionStore: process.argv[2] })
app.get('/', async ({ session }) => {
  session.visits = (session.visits ?? 0) + 1
  return String(session.visits)
})
async function main () {
  const { headers } = await app.inject('/')
  const { body } = await app.inject({ url: '/', headers: { cookie: headers['set-cookie'].split(';')[0] } })
  await app.close()
  console.log(body, process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node')).length)
}
main().catch(({ code, message }) => { console.log(code, message) })
`

test('hatcheck/session works in a bundle, and loads nothing native for sessions in memory', async (t) => {
  const { build } = createRequire(import.meta.url)('esbuild') as { build (options: object): Promise<unknown> }
  const folder = t.testdir({ 'host.js': HOST })
  // Away from every node_modules: all that it needs is in it.
  const out = mkdtempSync(join(tmpdir(), 'hatcheck-bundle-'))
  t.teardown(() => { rmSync(out, { recursive: true }) })
  // An ES module cannot require the CommonJS packages of Fastify without this.
  const banner = { js: 'import { createRequire } from \'node:module\'; const require = createRequire(import.meta.url)' }
  for (const [format, extension] of [['esm', 'mjs'], ['cjs', 'cjs']] as const) {
    await t.test(format, async (t) => {
      const outfile = join(out, `bundle.${extension}`)
      const bundled = { entryPoints: [join(folder, 'host.js')], bundle: true, platform: 'node', format, outfile, logLevel: 'silent', ...format === 'esm' && { banner } }
      await build({ ...bundled, external: ['lmdb', 'ioredis', 'tldts'] })
      t.match(await run(process.execPath, [outfile, 'memory:'], out), { code: 0, stdout: '2 0\n', stderr: '' })
      // The package does not go into an ES module.
      if (format === 'esm') return
      await build({ ...bundled, external: ['ioredis', 'tldts'] })
      t.match(await run(process.execPath, [outfile, 'memory:'], out), { stdout: '2 0\n' }, 'lmdb is in the bundle, and is not loaded')
      t.match(await run(process.execPath, [outfile, 'lmdb:./data'], out), { stdout: /^HATCHECK_CONFIG lmdb cannot be loaded \(.+\)\. If the application is a bundle, declare lmdb as external/ })
    })
  }
})

test('hatcheck and hatcheck/session share a folder of LMDB in one process', async (t) => {
  const folder = t.testdir({
    'both.js': `import Fastify from 'fastify'
import hatcheck, { SessionTooLargeError as ofHatcheck } from 'hatcheck'
import hatcheckSession, { SessionTooLargeError } from 'hatcheck/session'
const options = { secretKey: '${testKey}', sessionStore: 'lmdb:./data', realm: 'shared' }
const [one, two] = [Fastify(), Fastify()]
await one.register(hatcheck, options)
await two.register(hatcheckSession, options)
for (const app of [one, two]) app.post('/', async ({ session }) => { session.visits = (session.visits ?? 0) + 1; return String(session.visits) })
two.post('/big', async ({ session }) => {
  session.big = 'x'.repeat(100_000)
  const error = await session.save().catch((error) => error)
  delete session.big
  return String(error instanceof SessionTooLargeError && error instanceof ofHatcheck)
})
const begun = await Promise.all([one, two].flatMap((app) => Array.from({ length: 50 }, () => app.inject({ method: 'POST', url: '/' }))))
const cookies = begun.map(({ headers }) => headers['set-cookie'].split(';')[0])
const again = await Promise.all(cookies.map((cookie, i) => [two, one][Math.floor(i / 50)].inject({ method: 'POST', url: '/', headers: { cookie } })))
console.log(again.every(({ body }) => body === '2'), (await two.inject({ method: 'POST', url: '/big' })).body)
await one.close()
const last = await two.inject({ method: 'POST', url: '/', headers: { cookie: cookies[0] } })
console.log(last.body)
await two.close()
`
  })
  t.same(await run(process.execPath, ['both.js'], folder), { code: 0, stdout: 'true true\n3\n', stderr: '' })
})
