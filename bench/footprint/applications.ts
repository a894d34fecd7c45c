import { randomBytes } from 'node:crypto'

/** An application with a route that counts the visits of a browser in its session. */
interface Application {
  /** What its documentation says to install, and the flags of npm. */
  packages: string[]
  framework: keyof typeof FRAMEWORKS
  /** Statements that import the packages. */
  load: string
  /** Statements that register the sessions and the route in `app`. They may use `secret`. */
  register: string
}

const FRAMEWORKS = {
  fastify: {
    load: 'import Fastify from \'fastify\'',
    make: 'Fastify()',
    listen: 'await app.listen({ port: 0 }); const { server } = app'
  },
  express: {
    load: 'import express from \'express\'',
    make: 'express()',
    listen: 'const server = await new Promise((resolve) => { const server = app.listen(0, \'127.0.0.1\', () => { resolve(server) }) })'
  }
}

/** For sessions whose values are properties. */
const COUNT = 'app.get(\'/\', async ({ session }) => String(session.visits = (session.visits ?? 0) + 1))'
/** A folder of its own for each process: a store with data opens otherwise than a new one. */
const LMDB = '\'lmdb:./data-\' + process.pid'

/**
 * Lists the applications.
 *
 * @param hatcheck the path of the package.
 * @param redis the URL of a Redis; null leaves its row out.
 */
export function applicationsOf (hatcheck: string, redis: string | null): Record<string, Application> {
  const withHatcheck = (name: string, store: string, flags: string[] = []): Application => ({
    packages: ['fastify', hatcheck, ...flags],
    framework: 'fastify',
    load: `const { default: hatcheck } = await import('${name}')`,
    register: `await app.register(hatcheck, { secretKey: secret, sessionStore: ${store} })\n${COUNT}`
  })
  return {
    'Fastify alone': { packages: ['fastify'], framework: 'fastify', load: '', register: 'app.get(\'/\', async () => \'1\')' },
    'hatcheck/session, memory': withHatcheck('hatcheck/session', '\'memory:\'', ['--omit=optional']),
    'hatcheck/session, LMDB': withHatcheck('hatcheck/session', LMDB),
    ...redis !== null && { 'hatcheck/session, Redis': withHatcheck('hatcheck/session', `'${redis}'`, ['--omit=optional']) },
    'hatcheck, LMDB': withHatcheck('hatcheck', LMDB),
    '@fastify/session, memory': {
      packages: ['fastify', '@fastify/cookie', '@fastify/session'],
      framework: 'fastify',
      load: 'const [{ default: cookie }, { default: session }] = await Promise.all([import(\'@fastify/cookie\'), import(\'@fastify/session\')])',
      register: `await app.register(cookie)\nawait app.register(session, { secret, cookie: { secure: false } })\n${COUNT}`
    },
    '@fastify/secure-session': {
      packages: ['fastify', '@fastify/secure-session'],
      framework: 'fastify',
      load: 'const { default: session } = await import(\'@fastify/secure-session\')',
      register: `await app.register(session, { key: Buffer.from(secret, 'base64url') })
app.get('/', async ({ session }) => { session.set('visits', (session.get('visits') ?? 0) + 1); return String(session.get('visits')) })`
    },
    'iron-session, in Fastify': {
      packages: ['fastify', 'iron-session'],
      framework: 'fastify',
      load: 'const { getIronSession } = await import(\'iron-session\')',
      register: `app.get('/', async (request, reply) => {
  const session = await getIronSession(request.raw, reply.raw, { password: secret, cookieName: 'session', cookieOptions: { secure: false } })
  session.visits = (session.visits ?? 0) + 1
  await session.save()
  return String(session.visits)
})`
    },
    // Its sessions have no values by default: the route asks who is logged in.
    'better-auth, memory, in Fastify': {
      packages: ['fastify', 'better-auth'],
      framework: 'fastify',
      load: `const [{ betterAuth }, { memoryAdapter }, { fromNodeHeaders, toNodeHandler }] = await Promise.all([
  import('better-auth'), import('better-auth/adapters/memory'), import('better-auth/node')
])`,
      register: `const auth = betterAuth({
  secret, baseURL: 'http://127.0.0.1', telemetry: { enabled: false }, emailAndPassword: { enabled: true },
  database: memoryAdapter({ user: [], session: [], account: [], verification: [] })
})
const handle = toNodeHandler(auth)
app.all('/api/auth/*', async (request, reply) => { reply.hijack(); await handle(request.raw, reply.raw) })
app.get('/', async (request) => String(await auth.api.getSession({ headers: fromNodeHeaders(request.headers) })))`
    },
    'Express alone': { packages: ['express'], framework: 'express', load: '', register: 'app.get(\'/\', (_, response) => { response.send(\'1\') })' },
    'express-session, memory': {
      packages: ['express', 'express-session'],
      framework: 'express',
      load: 'const { default: session } = await import(\'express-session\')',
      register: `app.use(session({ secret, resave: false, saveUninitialized: false }))
app.get('/', ({ session }, response) => { session.visits = (session.visits ?? 0) + 1; response.send(String(session.visits)) })`
    }
  }
}

/** What a cold process measures of itself. */
export interface ApplicationSample {
  /** CPU time, in ms, to import the packages when the framework is loaded. */
  importMs: number
  /** CPU time, in ms, to register them. */
  registerMs: number
  /** CPU time, in ms, of the first answer and of asking for it. */
  answerMs: number
  /** Resident memory after the first answer and a garbage collection. */
  residentBytes: number
}

/** Writes the program of an application, which prints an {@link ApplicationSample}. */
export function programOf ({ framework, load, register }: Application): string {
  const { load: loadFramework, make, listen } = FRAMEWORKS[framework]
  return `${loadFramework}
const { get } = process.getBuiltinModule('node:http')
const secret = '${randomBytes(32).toString('base64url')}'
const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1_000 }
const app = ${make}
const begun = cpu()
${load}
const imported = cpu()
${register}
${framework === 'fastify' ? 'await app.ready()' : ''}
const registered = cpu()
${listen}
const listening = cpu()
const status = await new Promise((resolve, reject) => {
  get({ port: server.address().port, host: '127.0.0.1', agent: false }, (response) => { response.resume().once('end', () => { resolve(response.statusCode) }) }).once('error', reject)
})
const answered = cpu()
if (status !== 200) throw new Error('the answer is ' + status)
gc()
console.log(JSON.stringify({ importMs: imported - begun, registerMs: registered - imported, answerMs: answered - listening, residentBytes: process.memoryUsage.rss() }))
process.exit()
`
}
