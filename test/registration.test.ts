import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { existsSync, readFileSync, readdirSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'tap'
import { hatcheck, hatcheckService, nextPageOf, type HatcheckOptions, type RouteName } from '../app.js'
import { ownFolder } from '../plugins/config/own-folder.js'
import { logInto } from './apps/log-lines.js'
import { AS_BROWSER } from './clients/accept.js'
import { Client } from './clients/client.js'
import { buildHost, newFastify, testKey, turn } from './helper.js'
import { checkout, run } from './processes/child.js'

const authenticate = (name: string, password: string): { name: string } | null => password === 'right' ? { name } : null
const pages = { secretKey: testKey, sessionStore: 'memory:', routes: true, authenticate } satisfies HatcheckOptions
const ALL: RouteName[] = ['home', 'login', 'logout', 'sessions', 'password', 'verify']

/** The addresses in a page. */
function addressesIn (body: string): string[] {
  return [...body.matchAll(/(?:href|action|formaction)="(\/[^"]*)"/g)].map(([, address = '']) => address)
}

test('hatcheck in a scope that already has it is refused, with the remedy', async (t) => {
  const refused = { code: 'HATCHECK_CONFIG', message: /^hatcheck is already registered in this scope or in one around it\. Register it once, or once in each of two sibling scopes/ }
  const options = { secretKey: testKey, sessionStore: 'memory:' }
  const hosts: Record<string, (fastify: FastifyInstance) => unknown> = {
    'twice, awaited': async (fastify) => {
      await fastify.register(hatcheck, options)
      await fastify.register(hatcheck, options)
    },
    'twice, not awaited': (fastify) => { fastify.register(hatcheck, options).register(hatcheck, { ...options, sessionCookieName: 'other' }) },
    'in a child as well': async (fastify) => {
      await fastify.register(hatcheck, options)
      await fastify.register(async (scope) => { await scope.register(hatcheck, options) })
    },
    'in a child as well, not awaited': (fastify) => {
      fastify.register(hatcheck, options)
      fastify.register(async (scope) => { scope.register(hatcheck, options) }, { prefix: '/child' })
    },
    'in a child of a child': async (fastify) => {
      await fastify.register(async (scope) => {
        await scope.register(hatcheck, options)
        await scope.register(async (inner) => { await inner.register(hatcheck, options) })
      })
    },
    'the service beside it': async (fastify) => {
      await fastify.register(hatcheck, options)
      await fastify.register(hatcheckService, { ...options, mode: 'service' })
    }
  }
  for (const [what, register] of Object.entries(hosts)) {
    const fastify = newFastify(t)
    await t.rejects(async () => {
      await register(fastify)
      await fastify.ready()
    }, refused, what)
  }
  const fastify = newFastify(t)
  await fastify.register(hatcheck, options)
  await t.rejects(async () => { await fastify.register(hatcheck, options) }, refused, 'by register itself')
})

test('two scopes beside each other have separate sessions', async (t) => {
  const fastify = newFastify(t)
  for (const name of ['one', 'two']) {
    fastify.register(async (scope) => {
      await scope.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', sessionCookieName: name })
      scope.post('/login', async (request) => { await request.login(name) })
      scope.get('/', async (request) => request.user?.name ?? 'nobody')
    }, { prefix: `/${name}` })
  }
  fastify.get('/', async (request) => 'user' in request)
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: '/one/login' })
  t.equal((await client.get('/one')).body, 'one')
  t.equal((await client.get('/two')).body, 'nobody')
  await client.send({ method: 'POST', url: '/two/login' })
  t.equal((await client.get('/one')).body, 'one')
  t.equal((await client.get('/two')).body, 'two')
  t.equal((await client.get('/')).body, 'false')
})

/** The places where hatcheck is registered, and the resulting addresses of its pages. */
const places = [
  { scope: '/app', prefix: '/auth', base: '/app/auth', home: '/app/auth/' },
  { scope: '/app/', prefix: '/auth', base: '/app/auth', home: '/app/auth/' },
  { scope: '/', prefix: '/auth', base: '/auth', home: '/auth/' },
  { scope: 'app', prefix: '/auth/in', base: '/app/auth/in', home: '/app/auth/in/' },
  { scope: '/a/b', base: '/a/b', home: '/a/b/' },
  { scope: '/app/', base: '/app', home: '/app/' },
  { scope: undefined, base: '', home: '/' },
  { scope: '/app', routes: ['home', 'login', 'logout', 'sessions'], base: '/app', home: '/app/' },
  { scope: '/app/', routes: ['home', 'login', 'logout', 'sessions'], base: '/app', home: '/app/' },
  { scope: '/app', prefix: '/auth', routes: ['login', 'logout', 'sessions'], base: '/app/auth', home: '/app/' },
  { scope: '/café', prefix: '/日本', base: '/caf%C3%A9/%E6%97%A5%E6%9C%AC', home: '/caf%C3%A9/%E6%97%A5%E6%9C%AC/' },
  { scope: '/a b', prefix: '/"<x>', base: '/a%20b/%22%3Cx%3E', home: '/a%20b/%22%3Cx%3E/' }
] satisfies Array<{ scope: string | undefined, prefix?: string, routes?: RouteName[], base: string, home: string }>

test('many scopes with hatcheck need no more listeners of their server than one', async (t) => {
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => { process.off('warning', note) })
  const log: string[] = []
  const fastify = newFastify(t, { trustProxy: '127.0.0.1', ...logInto(log, 'warn') })
  for (let i = 0; i < 12; i++) {
    await fastify.register(async (scope) => { await scope.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', sessionCookieName: `shop${i}` }) })
  }
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  await turn()
  t.strictSame(warnings.map(({ message }) => message), [], 'Node warns of more than ten')
  t.equal(log.filter((line) => line.includes('app.server.maxHeadersCount = 0')).length, 1)
})

test('every link of a page leads to a served route, in scopes with a prefix', async (t) => {
  for (const { base, home, scope: outer, ...options } of places) {
    await t.test(`the links of the pages work with ${JSON.stringify(options)} in ${outer}`, async (t) => {
      const fastify = newFastify(t)
      await fastify.register(async (scope) => {
        await scope.register(hatcheck, { ...pages, ...options })
        scope.get('/mine', { onRequest: scope.requireLogin }, async () => 'mine')
      }, { ...outer !== undefined && { prefix: outer } })
      const client = new Client(fastify)
      const mine = `${home === '/' ? '' : base.slice(0, base.length - ('prefix' in options ? encodeURI(options.prefix).length : 0))}/mine`
      const led = await client.get(`${mine}?a=1`, AS_BROWSER)
      t.equal(led.headers.location, `${base}/login?next=${encodeURIComponent(`${mine}?a=1`)}`)
      const seen = [await client.get(String(led.headers.location), AS_BROWSER), await client.get(`${base}/login`, AS_BROWSER), await client.post(`${base}/login`, { client_name: 'x'.repeat(20_000) }, AS_BROWSER)]
      t.match(seen[0]?.body, `value="${mine}?a&#61;1"`)
      const login = await client.post(`${base}/login`, { client_name: 'Harry', password: 'right' }, AS_BROWSER)
      t.equal(login.headers.location, home)
      t.match([login.headers['set-cookie']].flat().find((line) => line?.startsWith('hatcheck-notice')), `Path=${base || '/'};`)
      seen.push(await client.get(`${base}/sessions`, AS_BROWSER), await client.get(`${base}/logout`, { ...AS_BROWSER, 'sec-fetch-site': 'cross-site' }))
      if (home === `${base}/` && ('prefix' in options || 'routes' in options)) seen.push(await client.get(home, AS_BROWSER))
      for (const { statusCode, body } of seen) {
        t.ok([200, 413].includes(statusCode), `${statusCode}`)
        for (const address of addressesIn(body)) t.ok(address === home || address.startsWith(`${base}/`), address)
      }
      t.equal((await client.post(`${base}/logout`, {}, AS_BROWSER)).headers.location, home)
    })
  }
})

test('pages whose path is not fixed are a warning at the start, since their links lead nowhere', async (t) => {
  for (const [outer, prefix, isFixed] of [['/:tenant', ''], ['/:tenant', '/auth'], ['/app', '/:id(\\d+)'], ['/a;b', ''], ['//evil.example', '/auth'], ['', '/a;b'], ['/café', '/a', true], ['', '', true]] as const) {
    for (const routes of [true, ['verify']] satisfies Array<HatcheckOptions['routes']>) {
      const log: string[] = []
      const fastify = newFastify(t, logInto(log, 'warn'))
      await fastify.register(async (scope) => {
        await scope.register(hatcheck, { ...pages, prefix, routes })
        scope.get('/next', async (request) => nextPageOf(request))
      }, { prefix: outer })
      t.equal(log.some((line) => line.includes('is not fixed')), isFixed !== true && routes === true, outer + prefix)
      if (outer === '/:tenant' && routes !== true) t.equal((await fastify.inject('/acme/next')).body, '/', 'no redirect leads to a pattern')
    }
  }
})

test('hatcheck starts and serves its pages with every router option of the application', async (t) => {
  const routers: FastifyServerOptions[] = [
    { routerOptions: { ignoreTrailingSlash: true } }, { routerOptions: { ignoreDuplicateSlashes: true } }, { routerOptions: { caseSensitive: false } }, { exposeHeadRoutes: false },
    { routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, caseSensitive: false }, exposeHeadRoutes: false }, {}
  ]
  for (const server of routers) {
    for (const options of [{}, { prefix: '/auth' }, { prefix: '/auth', routes: ALL }, { routes: ALL }]) {
      for (const outer of ['', '/app', '/app/']) {
        const what = `${JSON.stringify(server)} ${JSON.stringify(options)} ${outer}`
        const fastify = newFastify(t, { ...server, logger: false })
        await fastify.register(async (scope) => { await scope.register(hatcheck, { ...pages, ...options }) }, { prefix: outer })
        const base = `${outer.replace(/\/$/, '')}${'prefix' in options ? options.prefix : ''}`
        t.equal((await fastify.inject({ url: `${base}/login`, headers: AS_BROWSER })).statusCode, 200, what)
        t.equal((await fastify.inject({ method: 'POST', url: `${base}/logout` })).statusCode, 303, what)
        const isServed = 'prefix' in options || 'routes' in options
        t.equal((await fastify.inject(`${base}/`)).statusCode, isServed ? 200 : 404, what)
        await fastify.close()
      }
    }
  }
})

test('methods that hatcheck does not serve are left to the application', async (t) => {
  for (const prefix of ['', '/auth']) {
    const fastify = newFastify(t)
    fastify.setNotFoundHandler((_request, reply) => reply.code(404).send('the host has nothing'))
    await fastify.register(hatcheck, { ...pages, prefix })
    fastify.delete(`${prefix}/login`, async () => 'the host')
    fastify.options('*', async (_request, reply) => await reply.code(204).header('access-control-allow-origin', 'https://app.example.com').send())
    t.equal((await fastify.inject({ method: 'DELETE', url: `${prefix}/login` })).body, 'the host')
    t.equal((await fastify.inject({ method: 'PUT', url: `${prefix}/login` })).body, 'the host has nothing')
    t.match((await fastify.inject({ method: 'OPTIONS', url: `${prefix}/login` })).headers, { 'access-control-allow-origin': 'https://app.example.com' })
  }
})

test('an application chooses its pages, and without a prefix it keeps its own start page', async (t) => {
  const served = async (options: Partial<HatcheckOptions>): Promise<string[]> => {
    const fastify = newFastify(t, { logger: false })
    await fastify.register(hatcheck, { ...pages, ...options } as HatcheckOptions)
    const found: string[] = []
    for (const route of ALL) {
      const url = `${options.prefix ?? ''}/${route === 'home' ? '' : route}`
      if ((await fastify.inject(url)).statusCode !== 404) found.push(route)
    }
    await fastify.close()
    return found
  }
  const own = { authenticate: undefined }
  t.same(await served({ routes: false }), [])
  t.same(await served({ routes: [] }), [])
  t.same(await served({ routes: true, ...own }), ['login', 'logout', 'sessions', 'password', 'verify'])
  t.same(await served({ routes: true, prefix: undefined, ...own }), ['login', 'logout', 'sessions', 'password', 'verify'])
  t.same(await served({ routes: true, prefix: '/auth', ...own }), ALL)
  t.same(await served({ routes: true, prefix: '/auth' }), ALL.filter((route) => route !== 'password'), 'without accounts there is no password page')
  t.same(await served({ routes: ALL, ...own }), ALL)
  t.same(await served({ routes: ['home'] }), ['home'])
  t.same(await served({ routes: ['home', 'home'], prefix: '/auth' }), ['home'])
  t.same(await served({ routes: ['login', 'logout'], prefix: '/auth' }), ['login', 'logout'])
  for (const route of ALL) t.same(await served({ routes: [route], ...own }), [route])

  const before = newFastify(t)
  before.get('/', async () => 'mine')
  await before.register(hatcheck, pages)
  t.equal((await before.inject('/')).body, 'mine')
  const after = newFastify(t)
  await after.register(hatcheck, { ...pages, prefix: '' })
  after.get('/', async () => 'mine')
  t.equal((await after.inject('/')).body, 'mine')
})

test('no page links to a page that is not served', async (t) => {
  const lists: RouteName[][] = [...ALL.map((route) => ALL.filter((other) => other !== route)), ['home'], ['login'], ['sessions', 'login'], ['login', 'home']]
  for (const routes of lists) {
    const fastify = await buildHost(t, { routes, prefix: '/auth', authenticate: undefined, signup: 'open', passwordMinLength: 8 }, { logger: false })
    fastify.get('/', async () => 'the start page of the host')
    fastify.get('/mine', { onRequest: fastify.requireLogin }, async () => 'mine')
    fastify.post('/in', async (request) => { await request.login('Harry') })
    const has = (route: RouteName): boolean => routes.includes(route)
    const home = has('home') ? '/auth/' : '/'
    const client = new Client(fastify)
    const missing = new Set<string>()
    const look = async (url: string): Promise<void> => {
      const { body, headers: { location } } = await client.get(url, { ...AS_BROWSER, 'sec-fetch-site': 'cross-site' })
      for (const address of [...addressesIn(body), ...location === undefined ? [] : [String(location)]]) {
        if ((await fastify.inject({ url: address, headers: { ...AS_BROWSER, 'sec-fetch-site': 'cross-site', cookie: client.cookieHeader } })).statusCode === 404) missing.add(address)
      }
    }
    const anonymous = await client.get('/mine', AS_BROWSER)
    t.equal(anonymous.statusCode, has('login') ? 303 : 401)
    for (const who of ['nobody', 'Harry']) {
      if (who === 'Harry') await client.send({ method: 'POST', url: '/in' })
      for (const route of routes) await look(route === 'home' ? '/auth/' : `/auth/${route}`)
      await look('/auth/no/such/page')
    }
    t.same([...missing], [], `with ${routes.join(', ')}`)
    if (has('sessions') && !has('logout')) {
      const { sessions: [{ handle }] } = (await client.get('/auth/sessions', { accept: 'application/json' })).json()
      t.match((await client.get('/auth/sessions', AS_BROWSER)).body, `value="${handle}"`)
      t.equal((await client.post('/auth/sessions', { handle }, AS_BROWSER)).headers.location, home, 'a session can be ended without a logout route')
      t.equal((await client.get('/mine')).statusCode, 401)
    }
    if (has('login')) t.match((await new Client(fastify).get('/auth/login', { accept: 'application/json' })).json(), { next: home })
    await fastify.close()
  }
})

test('an application with its own store needs authenticate for a page that checks passwords', async (t) => {
  const { openStore } = await import('./stores/watched-store.js')
  const host = async (routes: RouteName[] | boolean): Promise<void> => { await (await buildHost(t, { sessionStore: openStore(t, 'memory:'), routes })).ready() }
  for (const routes of [true, ['login'], ['sessions', 'logout']] as Array<boolean | RouteName[]>) await t.rejects(host(routes), { code: 'HATCHECK_CONFIG', message: /^authenticate is required beside routes/ })
  await t.resolves(host(['logout', 'verify']))
  await t.resolves(host(['home']))
})

test('Strict-Transport-Security is left to the application, and an option of the service', async (t) => {
  const https = { headers: { 'x-forwarded-proto': 'https' } }
  const host = newFastify(t, { trustProxy: true })
  host.addHook('onRequest', async (_request, reply) => { reply.header('strict-transport-security', 'max-age=300') })
  await host.register(hatcheck, { ...pages, prefix: '/auth' })
  t.equal((await host.inject({ url: '/auth/login', ...https })).headers['strict-transport-security'], 'max-age=300')
  const bare = newFastify(t, { trustProxy: true })
  await bare.register(hatcheck, { ...pages, prefix: '/auth' })
  for (const url of ['/auth/', '/auth/login', '/auth/verify', '/auth/sessions']) t.equal((await bare.inject({ url, ...https })).headers['strict-transport-security'], undefined, url)

  for (const [hsts, header] of [[undefined, 'max-age=31536000; includeSubDomains'], ['subdomains', 'max-age=31536000; includeSubDomains'], ['host', 'max-age=31536000'], ['off', undefined]] as const) {
    const service = newFastify(t, { trustProxy: true })
    await service.register(hatcheckService, { mode: 'service', secretKey: testKey, sessionStore: 'memory:', hsts })
    t.equal((await service.inject({ url: '/login', ...https })).headers['strict-transport-security'], header, String(hsts))
    t.equal((await service.inject('/login')).headers['strict-transport-security'], undefined, 'not on http')
  }
})

test('the start neither injects requests nor listens', async (t) => {
  const { Server } = await import('node:net')
  const calls: string[] = []
  const { listen } = Server.prototype
  t.teardown(() => { Server.prototype.listen = listen })
  Server.prototype.listen = function (...args: unknown[]) {
    calls.push('listen')
    return Reflect.apply(listen, this, args)
  }
  const inject = createRequire(createRequire(import.meta.url).resolve('fastify')).resolve('light-my-request')
  const loaded = (): boolean => inject in createRequire(import.meta.url).cache
  const before = loaded()
  for (const register of [async (fastify: FastifyInstance) => { await fastify.register(hatcheck, { ...pages, prefix: '/auth' }) },
    async (fastify: FastifyInstance) => { await fastify.register(hatcheckService, { mode: 'service', secretKey: testKey, sessionStore: 'memory:' }) }]) {
    const fastify = Fastify() as unknown as FastifyInstance
    await register(fastify)
    await fastify.ready()
    await fastify.close()
  }
  t.same(calls, [])
  t.equal(loaded(), before)
})

test('a folder that is not hatcheck\'s own is never loaded', async (t) => {
  const refused = { code: 'HATCHECK_CONFIG', message: /^hatcheck cannot find its own files.*: it is part of a bundle\. Declare it as external in the bundler \(esbuild: external: \['hatcheck'\]\)/ }
  const folder = t.testdir({
    'package.json': '{"name":"host"}',
    plugins: { config: {} },
    fake: { 'package.json': '{"name":"hatcheck"}' },
    broken: { 'package.json': '{', plugins: { config: {} } }
  })
  for (const other of [undefined, folder, join(folder, 'plugins'), join(folder, 'fake'), join(folder, 'broken'), join(folder, 'missing')]) t.throws(() => ownFolder(other), refused, String(other))
  t.equal(ownFolder(checkout), checkout)
})

test('an application bundled with hatcheck fails with the remedy, and loads none of the application\'s own files', async (t) => {
  const { build } = createRequire(import.meta.url)('esbuild') as { build (options: object): Promise<unknown> }
  for (const [format, extension] of [['esm', 'mjs'], ['cjs', 'cjs']] as const) {
    const folder = t.testdir({
      'package.json': '{"name":"host","type":"module"}',
      'host.js': `import Fastify from 'fastify'
import hatcheck from ${JSON.stringify(join(checkout, 'dist/app.js'))}
const app = Fastify()
app.register(hatcheck, { secretKey: '${testKey}', sessionStore: 'memory:', routes: true, prefix: '/auth', authenticate: () => null })
app.ready().then(() => { console.log('it starts') }, ({ code, message }) => { console.log(code, message) })
`,
      out: {
        plugins: { config: { 'index.js': 'import { writeFileSync } from \'node:fs\'\nwriteFileSync(new URL(\'loaded\', import.meta.url), \'\')\nexport default async () => {}\n' } },
        routes: { 'mine.js': 'import { writeFileSync } from \'node:fs\'\nwriteFileSync(new URL(\'loaded\', import.meta.url), \'\')\nexport default async () => {}\n' }
      }
    })
    symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'))
    const outfile = join(folder, 'out', `bundle.${extension}`)
    const banner = format === 'esm' ? { banner: { js: 'import { createRequire } from \'node:module\'; const require = createRequire(import.meta.url)' } } : {}
    await build({ entryPoints: [join(folder, 'host.js')], bundle: true, platform: 'node', format, outfile, logLevel: 'silent', external: ['lmdb', '@node-rs/argon2'], ...banner })
    const { stdout, stderr, code } = await run(process.execPath, [outfile], folder)
    t.match(stdout, /^HATCHECK_CONFIG hatcheck cannot find its own files.*Declare it as external/, `${format} ${stderr}`)
    t.equal(code, 0)
    const files = readdirSync(join(folder, 'out'), { recursive: true }).map(String)
    t.same(files.filter((file) => file.endsWith('loaded')), [], 'no file of the application was loaded')
  }
})

/** The code that throws these errors sets the header. */
const WITHOUT = new Set(['StoreUnavailableError', 'LogoutUnconfirmedError'])

test('every 503 has Retry-After, wherever it comes from', async (t) => {
  const classes = new Map<string, new (...args: unknown[]) => Error & { statusCode?: number, headers?: Record<string, string> }>()
  for (const folder of ['plugins', 'routes']) {
    for (const file of readdirSync(join(checkout, folder), { recursive: true }).map(String).filter((file) => file.endsWith('.ts'))) {
      for (const [name, value] of Object.entries(await import(join(import.meta.dirname, '..', folder, file.replace(/ts$/, 'js'))) as Record<string, unknown>)) {
        if (name.endsWith('Error') && typeof value === 'function') classes.set(name, value as never)
      }
    }
  }
  const fastify = Fastify() as unknown as FastifyInstance
  fastify.get<{ Params: { name: string } }>('/:name', async (request) => { throw new (classes.get(request.params.name) as new () => Error)() })
  t.teardown(() => fastify.close())
  const seen: string[] = []
  for (const name of classes.keys()) {
    const { statusCode, headers } = await fastify.inject(`/${name}`)
    if (statusCode !== 503 || WITHOUT.has(name)) continue
    seen.push(name)
    t.match(headers['retry-after'], /^[1-9]\d*$/, name)
  }
  for (const name of ['StoppingError', 'OverloadedError', 'BusyError', 'StoreFullError', 'PasswordChangeUnfinishedError']) t.ok(seen.includes(name), name)
})

test('Git ignores the data folder that hatcheck creates, and no other folder', async (t) => {
  const folder = t.testdir({ there: { 'mine.txt': 'mine' }, empty: {} })
  const open = async (options: object): Promise<void> => { await (await buildHost(t, { ...options } as never, { logger: false })).close() }
  await open({ sessionStore: 'lmdb:', dataDir: join(folder, 'data') })
  t.equal(readFileSync(join(folder, 'data/.gitignore'), 'utf8'), '*\n')
  await open({ sessionStore: `lmdb:${join(folder, 'some/where')}` })
  t.equal(readFileSync(join(folder, 'some/where/.gitignore'), 'utf8'), '*\n')
  t.notOk(existsSync(join(folder, 'some/.gitignore')))
  await open({ sessionStore: 'lmdb:', dataDir: join(folder, 'there') })
  t.notOk(existsSync(join(folder, 'there/.gitignore')))
  await open({ sessionStore: `lmdb:${join(folder, 'empty')}` })
  t.notOk(existsSync(join(folder, 'empty/.gitignore')))
  await open({ sessionStore: 'lmdb:', dataDir: join(folder, 'data') })
})

test('the error for a data folder that is not writable names the option of the application', async (t) => {
  const folder = t.testdir({ file: 'not a folder' })
  for (const options of [{ dataDir: join(folder, 'file/data'), sessionStore: 'lmdb:' }, { sessionStore: `lmdb:${join(folder, 'file/lmdb')}` }]) {
    await t.rejects(buildHost(t, options), { code: 'HATCHECK_CONFIG', message: /^The data folder cannot be written \(dataDir, sessionStore\): / })
  }
})
