import Fastify, { type FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { Readable } from 'node:stream'
import { test, type Test } from 'tap'
import { hatcheck } from '../../app.js'
import { Checks, answersMayShowSecrets } from '../checks/checks.js'
import { Secrets } from '../checks/secrets.js'
import { Client } from '../clients/client.js'
import { testKey } from '../helper.js'
import { compiledFixture } from '../processes/child.js'

/** An application with checks whose findings do not fail the test. */
async function checkedApp (t: Test): Promise<{ checks: Checks, fastify: FastifyInstance, client: Client }> {
  const checks = new Checks()
  checks.secrets.add(testKey)
  const fastify = Fastify(checks.serverOptions({})) as unknown as FastifyInstance
  checks.watch(fastify)
  await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, authenticate: (name) => ({ name }) })
  t.teardown(() => fastify.close())
  return { checks, fastify, client: new Client(fastify) }
}

const PASSWORD = 'correct "horse" & battery'

for (const [what, leak] of Object.entries<(fastify: FastifyInstance) => void>({
  'a log line with the password': (fastify) => { fastify.addHook('preHandler', async ({ body, log }) => { log.trace(body) }) },
  'a log line with the cookie': (fastify) => { fastify.addHook('onRequest', async ({ headers, log }) => { log.info({ headers }) }) },
  'a log line with the bytes of the request as numbers': (fastify) => { fastify.addHook('preHandler', async ({ body, log }) => { log.trace({ packet: Buffer.from(JSON.stringify(body)) }) }) },
  'a log line with the cookie in base64': (fastify) => { fastify.addHook('onRequest', async ({ headers, log }) => { log.info(Buffer.from(`cookie: ${headers.cookie ?? ''}`).toString('base64')) }) },
  'a log line with the key in hexadecimal digits': (fastify) => { fastify.log.debug({ key: Buffer.from(testKey).toString('hex') }) },
  'a log line with the key': (fastify) => { fastify.log.debug(`signing with ${testKey}`) },
  'a log line with the id alone': (fastify) => { fastify.addHook('onResponse', async ({ session, log }) => { log.info(`id=${session.sessionId}`) }) },
  'a log line at the start, with what is known only later': (fastify) => { fastify.log.info({ text: PASSWORD }) },
  'a page with the password': (fastify) => { fastify.get('/show', async (_request, reply) => reply.type('text/html').send('<p>correct &#34;horse&#34; &#38; battery</p>')) },
  'an address with the password': (fastify) => { fastify.get('/show', async (_request, reply) => reply.redirect(`/?p=${encodeURIComponent(PASSWORD)}`)) },
  'a body with the id': (fastify) => { fastify.get('/show', async ({ session }) => ({ id: session.sessionId })) },
  'a body with the MAC': (fastify) => { fastify.get('/show', async ({ session }) => session.encryptedSessionId.split('.')[1]) },
  'a stream with the ticket': (fastify) => { fastify.get('/show', async ({ session }) => Readable.from([`x${session.encryptedSessionId}x`])) },
  'a header with the ticket': (fastify) => { fastify.get('/show', async ({ session }, reply) => reply.header('x-session', session.encryptedSessionId).send('')) }
})) {
  test(`the checks find ${what}`, async (t) => {
    const { checks, fastify, client } = await checkedApp(t)
    leak(fastify)
    await client.login('Harry', PASSWORD)
    await client.get('/show')
    t.match((await checks.findings())[0], what.startsWith('a log line') ? /^log: no password/ : /^GET \/show: [23]\d\d: no password/)
  })
}

test('the checks report nothing where no secret is shown', async (t) => {
  const { checks, client } = await checkedApp(t)
  for (const name of ['Harry', 'Sally']) {
    await client.login(name, PASSWORD)
    await client.get('/')
    await client.get('/', { accept: 'application/json' })
  }
  await client.post('/logout')
  t.strictSame(await checks.findings(), [])
})

test('an old line is searched before it is dropped, and a new line is searched for secrets added later', (t) => {
  const checks = new Secrets()
  checks.add('alohomora!')
  checks.shown('log', 'alohomora!')
  for (let n = 0; n < 10; n++) checks.shown('log', 'x '.repeat(1_000_000))
  checks.shown('log', 'open sesame')
  checks.add('open sesame')
  t.strictSame(checks.findings().map((found) => found.replace(/: no .*?: /, ': ').trim()), ['log: alohomora!', 'log: open sesame'])
  t.end()
})

test('a test can allow secrets in its answers, but not in its log', async (t) => {
  const { checks, fastify, client } = await checkedApp(t)
  answersMayShowSecrets(fastify, 'this is what is tested')
  fastify.get('/show', async ({ session, log }) => {
    if (session.has('careless')) log.info(session.sessionId)
    return session.encryptedSessionId
  })
  fastify.post('/careless', async ({ session }) => { session.update({ careless: true } as never) })
  await client.login('Harry', PASSWORD)
  await client.get('/show')
  t.strictSame(await checks.findings(), [])
  await client.send({ method: 'POST', url: '/careless' })
  await client.get('/show')
  t.match(await checks.findings(), [/^log: /])
})

for (const [where, code] of [['nowhere', 0], ['log', 1]] as const) {
  test(`a test that shows a secret (${where}) ends with ${code}`, async (t) => {
    const env = { PATH: process.env['PATH'], LEAK: where }
    const child = spawn(process.execPath, [compiledFixture('leaks')], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
    const [ended] = await once(child, 'close')
    t.equal(ended, code, output)
    if (code !== 0) t.match(output, 'log: no password, ticket, ID or key may be shown')
  })
}
