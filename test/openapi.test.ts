import swagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import Fastify, { type FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { hatcheck } from '../app.js'
import { serveDocs } from '../plugins/openapi/docs.js'
import { MemoryStore } from '../plugins/storage/memory/sessions.js'
import { answersMayDiffer, checksOf } from './checks/checks.js'
import type { Answered } from './checks/contract.js'
import { serviceContract } from './checks/service-contract.js'
import { AS_BROWSER, AS_PROGRAM } from './clients/accept.js'
import { Client } from './clients/client.js'
import { build, buildHost, testKey } from './helper.js'
import { pageAt } from './pages/pages.js'
import { startService } from './processes/service.js'

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: unknown
  requestBody?: { content: object }
  responses: Record<string, object>
}

interface Document {
  openapi: string
  info: { version: string }
  security: unknown
  tags: Array<{ name: string }>
  paths: Record<string, Record<string, Operation>>
  components: { schemas: object, responses: object }
}

/** How many bytes of JSON a session may have. */
const MOST = 16_384

/** Every operation of the service; an application with `routes: true` has the marked ones. */
const OPERATIONS = {
  'GET /': 'getHome *',
  'GET /healthz': 'checkHealth',
  'GET /login': 'getLogin *',
  'POST /login': 'logIn *',
  'GET /logout': 'followLogout *',
  'POST /logout': 'logOut *',
  'GET /openapi.json': 'getOpenApi',
  'GET /password': 'getPassword *',
  'POST /password': 'changePassword *',
  'GET /readyz': 'checkReadiness',
  'GET /session': 'getSession',
  'GET /session/{key}': 'getSessionValue',
  'PUT /session/{key}': 'setSessionValue',
  'DELETE /session/{key}': 'popSessionValue',
  'GET /sessions': 'listSessions *',
  'POST /sessions': 'endSessions *',
  'DELETE /sessions': 'endOtherSessions *',
  'DELETE /sessions/{handle}': 'endSession *',
  'GET /verify': 'verify *',
  'GET /whoami': 'whoAmI'
}

test('the service describes itself in OpenAPI 3.1', async (t) => {
  const fastify = await build(t)
  const response = await fastify.inject('/openapi.json')
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  t.equal((await fastify.inject('/openapi.json')).body, response.body)
  t.equal((await (await build(t, { mode: 'service', sessionCookieSecure: 'auto' })).inject('/openapi.json')).body, response.body, 'whatever its configuration')
  const document = response.json<Document>()
  t.strictSame(await new Validator().validate(response.json()), { valid: true })
  t.equal(document.openapi, '3.1.0')
  t.equal(document.info.version, JSON.parse(pageAt('package.json')).version)
  t.strictSame(operationsOf(document), Object.fromEntries(Object.entries(OPERATIONS).map(([what, id]) => [what, id.replace(' *', '')])))
  t.strictSame(document.security, [{}, { session: [] }], 'no operation needs a session, unless it says so')
  t.notMatch(response.body, /Default Response|def-\d|%[sd]/)
  t.match((await fastify.inject({ url: '/openapi.json', headers: { host: 'hatcheck.example' } })).json(), { code: 'HATCHECK_DEMO_MODE' })
})

test('every operation documents its purpose, its callers and its errors', async (t) => {
  const document = (await (await build(t)).inject('/openapi.json')).json<Document>()
  const tags = document.tags.map(({ name }) => name)
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, { operationId, summary, tags: [tag = ''], responses }] of Object.entries(operations)) {
      const what = `${method} ${path}`
      t.ok(operationId !== '' && summary.length > 5 && tags.includes(tag), what)
      for (const status of ['403', '500']) t.ok(responses[status], `${what} has ${status}`)
      t.equal(JSON.stringify(resolved(document, responses['403'])).includes('HATCHECK_CROSS_ORIGIN'), path !== '/verify', `${what} from another site`)
    }
  }
  const { paths: { '/login': login, '/sessions': sessions, '/healthz': health, '/': home, '/verify': verify } } = document
  t.same(Object.keys(login?.['post']?.requestBody?.content ?? {}), ['application/json', 'application/x-www-form-urlencoded'])
  t.strictSame([sessions?.['get']?.security, verify?.['get']?.security, health?.['get']?.security, home?.['get']?.security], [[{ session: [] }], [{ session: [] }], [], undefined])
  t.match(resolved(document, login?.['post']?.responses['429']), { headers: { 'Retry-After': { required: true } } })
  t.match(resolved(document, login?.['post']?.responses['303']), { headers: { Location: { required: true } } })
  for (const response of Object.values(verify?.['get']?.responses ?? {})) {
    t.match(response, { headers: { 'Remote-User': { required: true }, 'Remote-Session': { required: true } } })
  }
})

test('an application has the operations in its own document, under its prefix, and keeps its own compilers', async (t) => {
  for (const openapi of ['3.1.0', '3.0.3']) {
    for (const prefix of ['', '/auth']) {
      const fastify = Fastify() as unknown as FastifyInstance
      t.teardown(() => fastify.close())
      await fastify.register(swagger, { openapi: { openapi, info: { title: 'an application', version: '1.0.0' } }, hideUntagged: true })
      await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, prefix })
      const schema = {
        tags: ['own'],
        querystring: { type: 'object', properties: { n: { type: 'integer' } } },
        response: { 200: { type: 'object', properties: { n: { type: 'integer' } } } }
      }
      fastify.get('/own', { schema }, async ({ query }) => ({ n: (query as { n: number }).n, more: 'is left out' }))
      await fastify.ready()
      const document = JSON.parse(JSON.stringify(fastify.swagger())) as Document
      t.strictSame(await new Validator().validate(JSON.parse(JSON.stringify(document))), { valid: true }, `${openapi} under "${prefix}"`)
      const own = Object.entries(OPERATIONS).filter(([what, id]) => id.endsWith(' *') && (prefix !== '' || what !== 'GET /')).map(([what, id]) => [what.replace(' ', ` ${prefix}`), id.replace(' *', '')])
      t.strictSame(operationsOf(document), { ...Object.fromEntries(own), 'GET /own': undefined })
      t.match(JSON.stringify(document), 'HatcheckProblem')
      t.equal((await fastify.inject('/own?n=1')).body, '{"n":1}', 'by its schema')
      t.equal((await fastify.inject('/own?n=x')).statusCode, 400)
      t.equal((await fastify.inject(`${prefix}/openapi.json`)).statusCode, 404, 'the document describes its own route')
    }
  }
})

test('in an application, answers under a prefix match the document', async (t) => {
  const fastify = await buildHost(t, { routes: true, prefix: '/auth', authenticate: (name) => ({ name }) })
  t.equal((await fastify.inject({ url: '/auth', headers: { accept: 'application/json' } })).body, '{"user":null}')
  t.equal((await fastify.inject({ url: '/auth/', headers: { accept: 'application/json' } })).body, '{"user":null}')
  t.equal((await fastify.inject('/auth/sessions')).statusCode, 401)
})

test('a login for which the session or the store has no room gets a documented answer', async (t) => {
  const clock = { time: Date.now() }
  const fastify = await build(t, { now: () => clock.time })
  const full = async (client: Client): Promise<void> => {
    const [, size] = /too large: (\d+) bytes/.exec((await client.put('/session/most', 'x'.repeat(MOST - 2))).body) ?? []
    t.equal((await client.put('/session/most', 'x'.repeat(2 * MOST - 2 - Number(size)))).statusCode, 201)
  }
  const visitor = new Client(fastify)
  await full(visitor)
  t.match(await visitor.login(), { statusCode: 413, body: /HATCHECK_SESSION_TOO_LARGE/ })

  const user = new Client(fastify)
  t.equal((await user.login()).statusCode, 303)
  await full(user)
  clock.time += 11 * 60_000
  const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
  t.match(await user.post('/sessions', { others: '1', password: '12345678' }, { ...AS_PROGRAM, 'user-agent': firefox }), { statusCode: 413, body: /HATCHECK_SESSION_TOO_LARGE/ })

  const sessionStore = new MemoryStore({ now: Date.now, maxBytes: MOST, maxTotalBytes: 0 })
  const host = await buildHost(t, { routes: true, sessionStore, authenticate: (name) => ({ name }) })
  t.match(await new Client(host).login(), { statusCode: 503, body: /HATCHECK_STORE_FULL/ })
  const { body: form } = await new Client(host).post('/login', { client_name: 'Harry', password: '12345678', next: '/cart' }, AS_BROWSER)
  for (const part of ['<form method="post" action="/login">', 'value="/cart"', 'value="Harry"', 'The memory store is full']) t.match(form, part)
})

test('/docs is served in development only, and can run its own scripts and no others', async (t) => {
  const fastify = await build(t)
  await serveDocs(fastify)
  for (const [path, type] of [['/docs/', 'text/html'], ['/docs/static/swagger-initializer.js', 'application/javascript'], ['/docs/json', 'application/json']] as const) {
    const response = await fastify.inject(path)
    t.equal(response.statusCode, 200, path)
    t.match(response.headers, { 'content-type': type, 'content-security-policy': /^default-src 'none'; script-src 'self';.* frame-ancestors 'none'$/ })
    t.equal((await fastify.inject({ url: path, headers: { host: 'hatcheck.example' } })).statusCode, 403, 'and in demo mode for this machine only')
  }
  t.match((await fastify.inject('/')).headers['content-security-policy'], /^default-src 'none';style-src 'sha256-/, 'the pages keep their own policy')
  t.notOk('/docs' in (await fastify.inject('/openapi.json')).json<Document>().paths)

  const { url } = await startService(t, t.testdir())
  t.equal((await fetch(`${url}/docs`)).status, 404)
  t.equal((await fetch(`${url}/docs/`)).status, 404)
  t.equal((await fetch(`${url}/openapi.json`)).status, 200)
})

test('the checks find every kind of flaw in an answer', async (t) => {
  const contract = await serviceContract()
  const json = { 'content-type': 'application/json; charset=utf-8' }
  const asProblem = { 'content-type': 'application/problem+json; charset=utf-8' }
  const problem = (status: number, more: object = {}): string => JSON.stringify({ type: 'about:blank', title: 'T', status, detail: 'd', ...more })
  const get = (path: string, status: number, headers: Answered['headers'], body = ''): string[] => contract.flawsOf({ method: 'GET', path, status, headers, body })

  t.strictSame(get('/', 200, json, '{"user":null}'), [])
  t.strictSame(get('/', 200, json, '{"user":{"name":"Harry","authenticatedAt":"2026-01-31T12:00:07.000Z"}}'), [])
  t.strictSame(get('/session/a%2Fb', 200, json, '[1]'), [])
  t.strictSame(get('/', 503, { ...asProblem, 'retry-after': '1' }, problem(503, { code: 'HATCHECK_STORE_UNAVAILABLE' })), [])
  t.strictSame(get('/no/such/page', 404, asProblem, problem(404, { code: 'HATCHECK_NOT_FOUND' })), [])
  t.strictSame(contract.flawsOf({ method: 'DELETE', path: '/login', status: 405, headers: asProblem, body: problem(405, { code: 'HATCHECK_METHOD_NOT_ALLOWED' }) }), [])
  t.strictSame(contract.flawsOf({ method: 'PROPFIND', path: '/verify', status: 204, headers: { 'remote-user': 'Harry', 'remote-session': 'h' }, body: '' }), [])
  t.strictSame(contract.flawsOf({ method: 'HEAD', path: '/', status: 200, headers: json, body: '' }), [])

  for (const [flaw, flaws] of Object.entries<string[]>({
    'the status is not in the OpenAPI document': get('/', 418, json, '{}'),
    'the content type text/plain is not in the OpenAPI document': get('/', 200, { 'content-type': 'text/plain' }, 'hello'),
    'the content type undefined is not in the OpenAPI document': get('/', 200, {}),
    'must NOT have additional properties': get('/', 200, json, '{"user":null,"more":1}'),
    "must have required property 'user'": get('/', 200, json, '{}'),
    'must match format "date-time"': get('/', 200, json, '{"user":{"name":"Harry","authenticatedAt":"yesterday"}}'),
    SyntaxError: get('/', 200, json, '{'),
    'must be equal to one of the allowed values': get('/', 403, asProblem, problem(403, { code: 'HATCHECK_LOGIN_REQUIRED' })),
    "must have required property 'code'": get('/', 403, asProblem, problem(403)),
    'must be equal to constant': get('/', 403, asProblem, problem(401, { code: 'HATCHECK_DEMO_MODE' })),
    'the header Retry-After is missing': get('/', 503, asProblem, problem(503, { code: 'HATCHECK_STORE_UNAVAILABLE' })),
    'must be integer': get('/', 503, { ...asProblem, 'retry-after': 'soon' }, problem(503, { code: 'HATCHECK_STORE_UNAVAILABLE' })),
    'the header location is not in the OpenAPI document': get('/', 200, { ...json, location: '/' }, '{"user":null}'),
    'the header Remote-User is missing': get('/verify', 204, { 'remote-session': '' }),
    'a body that the OpenAPI document does not have': get('/login', 303, { location: '/', 'content-type': 'text/html' }, 'over there'),
    'the body says 404': get('/no/such/page', 405, asProblem, problem(404)),
    "must have required property 'detail'": get('/no/such/page', 404, asProblem, '{"type":"about:blank","title":"T","status":404}')
  })) t.ok(flaws.some((found) => found.includes(flaw)), flaw, { flaws })
})

test('a test with an undocumented answer fails, unless it gives a reason', async (t) => {
  for (const reason of [null, 'it is what is tested']) {
    const { fake, end } = fakeTest()
    const fastify = Fastify() as unknown as FastifyInstance
    t.teardown(() => fastify.close())
    checksOf(fake).watch(fastify)
    if (reason !== null) answersMayDiffer(fastify, reason)
    const authenticate = (): never => { throw Object.assign(new Error('short and stout'), { statusCode: 418 }) }
    await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, authenticate })
    fastify.get('/own', async (_request, reply) => reply.code(418).send('the application\'s own'))
    await fastify.inject('/own')
    await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: 'Harry', password: '12345678' } })
    if (reason === null) await t.rejects(end(), { message: /^1 broke a rule:\nPOST \/login: 418: the status is not in the OpenAPI document/ })
    else await t.resolves(end())
  }
})

/** A test whose end can be awaited. */
function fakeTest (): { fake: Test, end: () => Promise<void> } {
  const teardowns: Array<() => unknown> = []
  return {
    fake: { teardown (run: () => unknown) { teardowns.push(run) } } as unknown as Test,
    async end () { for (const run of teardowns.reverse()) await run() }
  }
}

function operationsOf ({ paths }: Document): Record<string, string> {
  return Object.fromEntries(Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { operationId }]) => [`${method.toUpperCase()} ${path}`, operationId])))
}

function resolved ({ components }: Document, response: object | undefined): object | undefined {
  const { $ref } = response as { $ref?: string } | undefined ?? {}
  return $ref === undefined ? response : components.responses[$ref.split('/').at(-1) as never]
}
