import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { t } from 'tap'
import { DECORATIONS } from '../../plugins/common/decorators.js'
import { pageAt } from '../pages/pages.js'
import { installTypeScript, ownTypeScript, typeChecker } from '../pages/type-check.js'
import { blocksOf } from '../pages/walk.js'
import { checkout, copySources, run } from '../processes/child.js'

const page = pageAt('docs/other-plugins.md')
const [example = ''] = blocksOf(page, 'ts')
const [secureSession = ''] = blocksOf(page, 'text')

const move = pageAt('docs/from-secure-session.md')
const [oldSession = ''] = blocksOf(move, 'ts')
const [hook = ''] = blocksOf(move, 'js')

const START = `import Fastify from 'fastify'
import hatcheck, { type User } from 'hatcheck'
const app = Fastify()
`

/** Programs of applications. Each has names of its own, which count for the whole program. */
const programs: Record<string, Record<string, string>> = {
  'the example of the page, beside @fastify/passport': {
    'example.ts': example,
    'passport.ts': `${START}
import { Authenticator } from '@fastify/passport'
await app.register(new Authenticator().initialize())
app.get('/', async (request): Promise<User | null> => {
  await request.logIn({ name: 'Harry' })
  await request.login({ name: 'Harry' }, { keepSessionInfo: true })
  await request.beginSession('Harry', { permanent: true })
  await request.endSession()
  request.flash('info', 'text')
  // @ts-expect-error -- left out
  await request.flashes()
  return request.sessionUser
})
const names = { user: 'sessionUser', login: 'beginSession', logout: 'endSession', flash: false, flashes: false } as const
await app.register(hatcheck, { secretKey: 'x', decorators: names })
await app.register(hatcheck, { secretKey: 'x', decorators: { ...names, requireLogin: 'requireLogin' } })
// @ts-expect-error -- another name
await app.register(hatcheck, { secretKey: 'x', decorators: { ...names, user: 'account' } })
// @ts-expect-error -- not left out
await app.register(hatcheck, { secretKey: 'x', decorators: { ...names, flash: 'flash' } })
// @ts-expect-error -- left out, which TypeScript does not know
await app.register(hatcheck, { secretKey: 'x', decorators: { ...names, accounts: false } })
// @ts-expect-error -- some are missing
await app.register(hatcheck, { secretKey: 'x', decorators: { user: 'sessionUser' } })
// @ts-expect-error -- all are missing
await app.register(hatcheck, { secretKey: 'x' })
`,
    'secure-session.d.ts': secureSession
  },
  'one other name, beside @fastify/jwt and @fastify/oauth2': {
    'jwt.ts': `${START}
import jwt from '@fastify/jwt'
import '@fastify/oauth2'
import '@fastify/csrf-protection'
declare module 'hatcheck' {
  interface Decorators { user: 'sessionUser' }
}
declare module '@fastify/jwt' {
  interface FastifyJWT { user: { scope: string } }
}
await app.register(hatcheck, { secretKey: 'x', decorators: { user: 'sessionUser' } })
await app.register(jwt, { secret: 'x' })
app.get('/', { onRequest: app.requireLogin }, async (request): Promise<[User | null, string]> => {
  await request.login('Harry')
  return [request.sessionUser, request.user.scope]
})
`
  },
  'the default names': {
    'default.ts': `${START}
await app.register(hatcheck, { secretKey: 'x' })
await app.register(hatcheck, { secretKey: 'x', decorators: {} })
await app.register(hatcheck, { secretKey: 'x', decorators: { user: 'user' } })
// @ts-expect-error -- TypeScript does not know the name
await app.register(hatcheck, { secretKey: 'x', decorators: { user: 'sessionUser' } })
// @ts-expect-error -- TypeScript does not know that it is left out
await app.register(hatcheck, { secretKey: 'x', decorators: { login: false } })
app.get('/', { onRequest: app.requireLogin }, async (request): Promise<User | null> => {
  await request.login('Harry', { permanent: true })
  request.flash('info', 'text')
  await request.flashes('info')
  await app.accounts?.add('Harry', 'correct horse battery')
  await request.logout()
  return request.user
})
`
  },
  'the move from @fastify/secure-session': {
    'move.ts': `${START}${oldSession}
declare module 'fastify' {
  interface Session { cart?: string[] }
}
const oldOptions = { key: Buffer.alloc(32) }
${hook.replaceAll('process.env.SECRET_KEY', "process.env['SECRET_KEY']")}
app.get('/', async ({ session }) => session.cart?.length)
`
  },
  'a name that hatcheck does not have': {
    'unknown.ts': `${START}
declare module 'hatcheck' {
  interface Decorators { usr: 'sessionUser' }
}
// @ts-expect-error -- no such decoration
await app.register(hatcheck, { secretKey: 'x', decorators: { usr: 'sessionUser' } })
`
  }
}

const modules = join(checkout, 'node_modules')
// Outside the checkout, so that nothing is found there by accident.
const host = await mkdtemp(join(tmpdir(), 'hatcheck-types-'))
t.teardown(() => rm(host, { recursive: true, force: true }))
await install()

/** Links the packages that an application has beside hatcheck: not @fastify/secure-session, as the page says. */
async function install (): Promise<void> {
  const own = join(host, 'node_modules/hatcheck')
  await mkdir(join(host, 'node_modules/@fastify'), { recursive: true })
  for (const folder of ['', '@fastify/']) {
    for (const name of await readdir(join(modules, folder))) {
      if (!['hatcheck', '@fastify', 'secure-session'].includes(name)) await symlink(join(modules, folder, name), join(host, 'node_modules', folder, name))
    }
  }
  for (const name of ['package.json', 'dist']) await cp(join(checkout, name), join(own, name), { recursive: true })
}

const options = { target: 'es2023', module: 'nodenext', types: ['node'], strict: true, exactOptionalPropertyTypes: true, noEmit: true, preserveSymlinks: true }

// They come from the registry.
const skip = process.env['HATCHECK_TEST_ALL'] === '1' ? false : 'needs another version of TypeScript: set HATCHECK_TEST_ALL=1'
for (const version of ['of this project', '5.9']) {
  t.test(`the names of an application compile with TypeScript ${version}`, { skip: version === '5.9' && skip }, async (t) => {
    const errorsOf = typeChecker(version === 'of this project' ? ownTypeScript : await installTypeScript(t, version))
    for (const [what, files] of Object.entries(programs)) {
      const folder = await mkdtemp(join(host, 'program-'))
      const all = { ...files, 'package.json': '{ "type": "module" }', 'tsconfig.json': JSON.stringify({ compilerOptions: options, include: ['.'] }) }
      for (const [name, text] of Object.entries(all)) await writeFile(join(folder, name), text)
      t.equal(errorsOf(join(folder, 'tsconfig.json')), '', what)
    }
  })
}

t.test('nothing in hatcheck uses a name that an application can change', async (t) => {
  const source = t.testdir()
  await copySources(source)
  await symlink(modules, join(source, 'node_modules'))
  await writeFile(join(source, 'plugins/names.ts'), `declare module './common/decorators.js' { interface Decorators { ${Object.keys(DECORATIONS).map((name) => `${name}: false`).join('; ')} } }\nexport {}\n`)
  t.same(await run(join(modules, '.bin/tsc'), ['--noEmit'], source), { code: 0, stdout: '', stderr: '' })
})
