import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { t } from 'tap'
import { LANGUAGE_TAGS } from '../../plugins/config/language-tags.js'
import { pack } from '../pages/pack.js'
import { pagesUnder } from '../pages/pages.js'
import { installTypeScript, ownTypeScript, typeChecker } from '../pages/type-check.js'
import { checkout, fixture, run, startProgram } from '../processes/child.js'

/** The packages of an application of its own, beside those that hatcheck needs for everything that it can. */
const OF_THE_HOST = ['fastify', '@fastify/cookie', '@fastify/formbody']

/** What an application installs for hatcheck/session with sessions in memory or Redis, with Fastify itself: 20,060 kB and 60 packages, and a little more as others grow. */
const [MOST_KILOBYTES, MOST_PACKAGES] = [21_000, 62]

// Some programs and versions come from the registry.
const skip = process.env['HATCHECK_TEST_ALL'] === '1' ? false : 'needs programs from the registry: set HATCHECK_TEST_ALL=1'

// Outside the checkout, so that nothing is found there by accident.
const outside = await mkdtemp(join(tmpdir(), 'hatcheck-host-'))
t.teardown(() => rm(outside, { recursive: true, force: true }))
/** An application with all of hatcheck, and one with hatcheck/session and nothing optional. */
const [host, sessionHost] = ['host', 'session-host'].map((name) => join(outside, name)) as [string, string]

const manifest = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8'))
const { files, tarball } = await pack(t.testdir())
await Promise.all([install(host, OF_THE_HOST), install(sessionHost, ['fastify'], '--omit=optional')])

t.test('the package has the program, its types and the documentation, and nothing else', async (t) => {
  const paths = files.map(({ path }) => path)
  const onTop = ['CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'SECURITY.md', 'package.json']
  t.same(paths.filter((path) => !/^(dist|docs)\//.test(path)).sort(), onTop)
  const inDocs = paths.filter((path) => path.startsWith('docs/'))
  t.same(inDocs.filter((path) => !/^docs\/[\w/-]+\.md$/.test(path)), [], 'docs has pages only')
  for (const page of pagesUnder('docs')) t.ok(inDocs.includes(page), `${page} is in the package`)

  const inDist = paths.filter((path) => path.startsWith('dist/'))
  const languages = LANGUAGE_TAGS.filter((tag) => tag !== 'en').map((tag) => `dist/languages/${tag}.json`)
  t.same(inDist.filter((path) => !/\.(js|d\.ts)$/.test(path)).sort(), languages.sort(), 'dist has code, types and the files of languages only')
  t.same(inDist.filter((path) => /^dist\/(?:test|bench)|\.test\.|fixture/.test(path)), [], 'no tests')

  const { main, types: mainTypes, bin, exports } = manifest
  for (const entry of [main, mainTypes, ...Object.values<string>(bin), ...Object.values<string | Record<string, string>>(exports).flatMap((entry) => typeof entry === 'string' ? entry : Object.values(entry))]) {
    t.ok(paths.includes(entry.replace(/^\.\//, '')), `${entry} is in the package`)
  }
  for (const path of inDist) {
    t.notMatch(await readFile(join(host, 'node_modules/hatcheck', path), 'utf8'), 'sourceMappingURL', `${path} points at no source map`)
  }
})

t.test('hatcheck/session runs without the optional packages, and names the one that it misses', async (t) => {
  t.same(await run(process.execPath, ['host.js'], sessionHost), { code: 0, stdout: '', stderr: '' })
})

t.test('hatcheck/session is small where the optional packages are left out', async (t) => {
  const { stdout: kilobytes } = await run('du', ['-sk', 'node_modules'], sessionHost)
  t.ok(Number.parseInt(kilobytes, 10) < MOST_KILOBYTES, `${kilobytes} kB`)
  const { stdout: list } = await run('npm', ['ls', '--all', '--parseable'], sessionHost)
  const packages = new Set(list.trim().split('\n').slice(1)).size
  t.ok(packages <= MOST_PACKAGES, `${packages} packages`)
})

t.test('publint and attw find nothing wrong with the package', { skip }, async (t) => {
  const linted = await run(join(checkout, 'node_modules/.bin/publint'), ['run', tarball, '--strict'], outside)
  t.equal(linted.code, 0, linted.stdout)
  const typed = await run('npx', ['-y', '--prefer-offline', '@arethetypeswrong/cli@0.18', '--profile', 'esm-only', tarball], outside)
  t.equal(typed.code, 0, typed.stdout)
})

t.test('the package starts on the oldest Fastify that it allows', { skip }, async (t) => {
  const folder = join(outside, 'oldest', 'host')
  const oldest = manifest.dependencies.fastify.replace('^', '')
  await install(folder, [], `fastify@${oldest}`)
  const program = `
    import Fastify from 'fastify'
    import hatcheck from 'hatcheck'
    const fastify = Fastify()
    await fastify.register(hatcheck, { secretKey: '${'7f3a9c1e5b8d2046'.repeat(4)}', sessionStore: 'memory:', routes: true, prefix: '/auth' })
    const { statusCode } = await fastify.inject({ url: '/auth/login', headers: { host: 'localhost' } })
    console.log(statusCode)
    await fastify.close()`
  t.same(await run(process.execPath, ['--input-type=module', '-e', program], folder), { code: 0, stdout: '200\n', stderr: '' })
  t.equal(JSON.parse(await readFile(join(folder, 'node_modules/fastify/package.json'), 'utf8')).version, oldest)
})

t.test('pnpm installs the package', { skip }, async (t) => {
  const folder = join(outside, 'pnpm')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true, dependencies: { fastify: manifest.dependencies.fastify, hatcheck: `file:${tarball}` } }))
  const { code, stdout } = await run('npx', ['-y', '--prefer-offline', 'pnpm@10', 'install', '--prefer-offline'], folder)
  t.equal(code, 0, stdout)
})

t.test('the installed program runs', async (t) => {
  const program = join(host, 'node_modules/.bin/hatcheck')
  t.same(await run(program, ['--version'], host), { code: 0, stdout: `${manifest.version}\n`, stderr: '' })
  const npx = await run('npx', ['hatcheck', '--version'], host)
  t.equal(npx.stdout, `${manifest.version}\n`)
  t.match((await run(program, ['--help'], host)).stdout, 'hatcheck user add NAME')
  t.match((await run(program, ['secret'], host)).stdout, /^[\w-]{43}\n$/)

  const service = await startProgram(program, [], host, { DATA_DIR: join(host, 'data') })
  const response = await fetch(service.address)
  t.equal(response.status, 200)
  t.match(await response.text(), 'You are not logged in')
  t.match(await (await fetch(service.address, { headers: { 'accept-language': 'de' } })).text(), 'Sie sind nicht angemeldet')
  t.equal(await service.stop(), 0)
})

interface Resolution {
  project: string
  /** Options that replace those of the project. */
  options?: Record<string, string>
}

const resolutions = {
  nodenext: { project: 'tsconfig.json' },
  // This resolution refuses a require of an ES module from CommonJS.
  node16: { project: 'tsconfig.modules.json', options: { module: 'node16', moduleResolution: 'node16' } },
  bundler: { project: 'tsconfig.modules.json', options: { module: 'esnext', moduleResolution: 'bundler' } }
}
const ofSessions = [{ project: 'tsconfig.json' }, { project: 'tsconfig.json', options: { module: 'esnext', moduleResolution: 'bundler' } }]
const typeRoots = join(checkout, 'node_modules/@types')
const errorsOf = typeChecker(ownTypeScript)

for (const [resolution, { project, options }] of Object.entries<Resolution>(resolutions)) {
  t.test(`a strict TypeScript application gets the types, resolved as ${resolution} does`, async (t) => {
    t.equal(errorsOf(join(host, project), { ...options, typeRoots: [typeRoots] }), '')
  })
}

t.test('an application with hatcheck/session gets its types, and none of logins and pages', async (t) => {
  for (const { project, options } of ofSessions) t.equal(errorsOf(join(sessionHost, project), { ...options, typeRoots: [typeRoots] }), '')
})

const ofOtherVersions: Array<[folder: string, resolution: Resolution]> = [[host, resolutions.nodenext], [host, resolutions.bundler], [sessionHost, { project: 'tsconfig.json' }]]

t.test('TypeScript 5.9 accepts the types', { skip }, async (t) => {
  const errorsOf = typeChecker(await installTypeScript(t, '5.9'))
  for (const [folder, { project, options }] of ofOtherVersions) t.equal(errorsOf(join(folder, project), { ...options, typeRoots: [typeRoots] }), '')
})

// It can be called from the command line only.
t.test('TypeScript 7 accepts the types', { skip }, async (t) => {
  const tsc = join(await installTypeScript(t, '7'), 'bin/tsc')
  for (const [folder, { project, options = {} }] of ofOtherVersions) {
    const args = Object.entries({ project, ...options, skipLibCheck: 'false', typeRoots }).flatMap(([name, value]) => [`--${name}`, value])
    t.same(await run(process.execPath, [tsc, ...args], folder), { code: 0, stdout: '', stderr: '' })
  }
})

const hosts = {
  'bare.js': 'a host has sessions and logins without any page',
  'routes.js': 'a host has the pages that it chooses, and the accounts',
  'prefix.js': 'a host has the pages under a prefix',
  'authenticate.js': 'a host decides who may log in',
  'two.js': 'two hosts in one process know nothing of one another',
  'cookies.js': 'a host has cookies of its own',
  'neighbors.js': 'what a host has of its own is not disturbed',
  'common.cjs': 'a CommonJS host requires the package',
  'store.js': 'a host proves its own store with the contract suite'
}

for (const [file, sentence] of Object.entries(hosts)) {
  t.test(sentence, async (t) => {
    t.match(await run(process.execPath, [file], host), { code: 0, stderr: '' })
  })
}

t.test('the contract suite fails for a store whose patch inserts', async (t) => {
  const { code, stdout } = await run(process.execPath, ['--test-reporter=tap', 'broken-store.js'], host)
  t.equal(code, 1)
  const failed = [...stdout.matchAll(/^not ok \d+ - (.*)$/gm)].map(([, sentence]) => sentence)
  t.ok(failed.includes('patch never creates'), failed.join(', '))
  t.notOk(failed.includes('read returns the created record'))
})

/** Copies an application, and installs hatcheck and other packages for it. */
async function install (folder: string, names: string[], ...flags: string[]): Promise<void> {
  await cp(fixture(basename(folder)), folder, { recursive: true })
  const wanted = new Set(names.map((name) => `${name}@${manifest.dependencies[name] ?? manifest.optionalDependencies[name]}`))
  const { code, stderr } = await run('npm',
    ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', ...flags, tarball, ...wanted], folder)
  if (code !== 0) throw new Error(`npm install failed: ${stderr}`)
}
