import { execFile } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { t } from 'tap'
import * as hatcheck from '../app.js'
import * as loginErrors from '../plugins/login/errors.js'
import * as sessionErrors from '../plugins/session/model/errors.js'
import { Client } from './clients/client.js'
import { needs, testKey } from './helper.js'
import { defaultOf, renderedPage, rows } from './pages/options-page.js'
import { allPages, guides, pageAt } from './pages/pages.js'
import { assertShown, blocksOf, stepsOf } from './pages/walk.js'
import { checkout, run, startProgram } from './processes/child.js'
import { startService } from './processes/service.js'

const readme = pageAt('README.md')
const manifest = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8'))

const HERE = 'http://127.0.0.1:3000'

/** Replaces the installed program by the one under test. */
function asHere (command: string): string {
  return command.replaceAll('npx hatcheck', `"${process.execPath}" "${join(checkout, 'dist/cli.js')}"`)
}

/** Runs a line as a reader would, with nothing of the test runner in its environment. */
function bash (command: string, cwd: string): Promise<string> {
  return new Promise((resolve) => {
    execFile('bash', ['--norc', '-c', command], { cwd, env: { PATH: process.env['PATH'], no_proxy: '*' }, timeout: 30_000 },
      (_error, stdout, stderr) => { resolve(stdout + stderr) })
  })
}

t.test('the two commands are on lines of their own, and near the top', async (t) => {
  const lines = readme.split('\n').slice(0, 25)
  t.ok(lines.includes('npm ci && npm start'))
  t.ok(lines.includes('npm ci && npm test'))
  t.equal(manifest.scripts.start, 'node dist/server.js')
  t.match(manifest.scripts.prepare, 'build', 'npm ci builds what npm start runs')
})

/** The test long/deployment follows docs/production.md: its steps need one another. */
const pages = guides.filter((page) => page !== 'docs/production.md')

// The other shell blocks install and start: they show no output to compare.
const walks = new Map(pages.map((page) => [page, blocksOf(pageAt(page), 'sh').filter((block) => block.includes('# → ')).map(stepsOf)]))

t.test('all walk-throughs are in the pages', async (t) => {
  t.same(Object.fromEntries([...walks].map(([page, { length }]) => [page, length]).filter(([, length]) => length !== 0)), {
    'README.md': 1,
    'docs/accounts.md': 2,
    'docs/forward-auth.md': 1,
    'docs/http-api.md': 3
  })
})

for (const [page, steps] of walks) {
  if (steps.length === 0) continue
  t.test(`every command in the walk-throughs of ${page} has the output that the page shows`, needs('curl'), async (t) => {
    const folder = t.testdir()
    const { url, end } = await startService(t, folder)
    for (const step of steps.flat()) {
      assertShown(t, await bash(asHere(step.command.replaceAll(HERE, url)), folder), step)
    }
    t.equal(await end(), 0)
  })
}

t.test('the plugin example counts visits, also after a restart', async (t) => {
  const [example = ''] = blocksOf(readme, 'js')
  const folder = t.testdir({ 'app.js': example.replace('port: 3000', 'port: 0'), '.env': `SECRET_KEY=${testKey}\n` })
  const start = (): ReturnType<typeof startProgram> => startProgram(process.execPath, ['--env-file=.env', 'app.js'], folder)
  const { address, stop } = await start()
  const visitor = new Client(address)
  t.equal((await visitor.get('/')).body, 'visit 1')
  t.equal((await visitor.get('/')).body, 'visit 2')
  t.equal((await new Client(address).get('/')).body, 'visit 1')
  await stop()
  const again = await start()
  const returning = new Client(again.address)
  for (const [name, value] of visitor.cookies) returning.cookies.set(name, value)
  t.equal((await returning.get('/')).body, 'visit 3')
  await again.stop()
})

t.test('the login example logs a user in', async (t) => {
  const [example = '', login = ''] = blocksOf(readme, 'js')
  const app = example.replace('port: 3000', 'port: 0').replace('console.log', `${login}\nconsole.log`)
  const folder = t.testdir({ 'app.js': app, '.env': `SECRET_KEY=${testKey}\n` })
  await bash(asHere("echo 'correct horse battery' | npx hatcheck user add Harry"), folder)
  const { address, stop } = await startProgram(process.execPath, ['--env-file=.env', 'app.js'], folder)
  const harry = new Client(address)
  t.equal((await harry.get('/me')).statusCode, 401)
  const logIn = (password: string): ReturnType<Client['send']> => harry.send({ method: 'POST', url: '/login', payload: { name: 'Harry', password } })
  t.equal((await logIn('wrong horse battery')).statusCode, 401)
  t.equal((await logIn('correct horse battery')).body, 'welcome')
  t.equal((await harry.get('/me')).body, 'Harry')
  await stop()
})

t.test('the example of a route for a new password ends the other sessions and keeps the user logged in', async (t) => {
  const [example = '', login = ''] = blocksOf(readme, 'js')
  const [change = ''] = blocksOf(pageAt('docs/accounts.md'), 'js')
  const both = `${login}\n${change.replace(/^import .*/, '')}`
  const folder = t.testdir({ 'app.js': example.replace('port: 3000', 'port: 0').replace('console.log', `${both}\nconsole.log`), '.env': `SECRET_KEY=${testKey}\n` })
  await bash(asHere("echo 'correct horse battery' | npx hatcheck user add Harry"), folder)
  const { address, stop } = await startProgram(process.execPath, ['--env-file=.env', 'app.js'], folder)
  const [harry, elsewhere] = [new Client(address), new Client(address)]
  const post = async (client: Client, url: string, payload: object): Promise<number> => (await client.send({ method: 'POST', url, payload })).statusCode
  for (const client of [harry, elsewhere]) t.equal(await post(client, '/login', { name: 'Harry', password: 'correct horse battery' }), 200)
  t.equal(await post(harry, '/new-password', { current: 'correct horse battery', next: 'short' }), 400)
  t.equal(await post(harry, '/new-password', { current: 'wrong horse battery', next: 'staple battery horse' }), 401)
  t.equal(await post(harry, '/new-password', { current: 'correct horse battery', next: 'staple battery horse' }), 200)
  t.equal((await harry.get('/me')).body, 'Harry')
  t.equal((await elsewhere.get('/me')).statusCode, 401)
  t.equal(await post(elsewhere, '/login', { name: 'Harry', password: 'correct horse battery' }), 401)
  t.equal(await post(elsewhere, '/login', { name: 'Harry', password: 'staple battery horse' }), 200)
  await stop()
})

t.test('the table of options matches the code', async (t) => {
  t.equal(pageAt('docs/options.md'), renderedPage(), 'if not: npx tsx test/pages/options-page.ts')
  for (const { option, row, text } of rows) {
    t.not(text.about, '', `${option} has JSDoc`)
    t.ok(text.default.includes(defaultOf(row)), `the @default of ${option} names that of its row`)
  }
})

t.test('docs/errors.md lists every error code, and no other', async (t) => {
  const sources = ['plugins', 'routes'].flatMap((folder) => readdirSync(join(checkout, folder), { recursive: true })
    .map((file) => join(checkout, folder, String(file)))).filter((file) => file.endsWith('.ts'))
  const codes = (text: string): string[] => [...new Set(text.match(/HATCHECK_[A-Z_]+[A-Z]/g))].sort()
  t.same(codes(pageAt('docs/errors.md')), codes(sources.map((file) => readFileSync(file, 'utf8')).join('\n')))
})

t.test('docs/errors.md lists every error class that the package exports, and no other', async (t) => {
  const [, listed = ''] = pageAt('docs/errors.md').split('## Errors to catch in a handler')
  t.same(listed.match(/(?<=`)\w+Error(?=`)/g)?.sort(), Object.keys(hatcheck).filter((name) => name.endsWith('Error')).sort())
})

t.test('an error of a session or a login is an instance of an exported class, unless no handler has a use for it', async (t) => {
  const exported = Object.entries(hatcheck).filter(([name]) => name.endsWith('Error')).map(([, value]) => value as unknown as new () => Error)
  const classes = Object.entries({ ...sessionErrors, ...loginErrors }) as unknown as Array<[string, new (...args: unknown[]) => Error]>
  const others = classes.filter(([, Own]) => !exported.some((Exported) => new Own(1, 1) instanceof Exported)).map(([name]) => name)
  t.same(others.sort(), ['AdoptError', 'AsyncSchemaError', 'AuthenticateError', 'NotAwaitedError', 'OtherUserError', 'ReauthenticateError'])
})

t.test('the tests of an application that docs/testing.md shows pass', async (t) => {
  const blocks = blocksOf(pageAt('docs/testing.md'), 'js')
  const folder = t.testdir(Object.fromEntries(blocks.map((block, i) => [`app-${i}.test.mjs`, block])))
  const { code, stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', ...blocks.map((_, i) => `app-${i}.test.mjs`)], folder)
  t.equal(code, 0, stdout)
  t.equal(Number(/^# pass (\d+)$/m.exec(stdout)?.[1]), blocks.join('').match(/^test\(/gm)?.length)
})

t.test('the settings in the pages start a service outside demo mode', async (t) => {
  const makeKey = '(umask 077; npx hatcheck secret > secret.key)'
  const withSettings = pages.filter((page) => blocksOf(pageAt(page), 'env').length > 0)
  t.ok(withSettings.length >= 2)
  for (const page of withSettings) t.ok(pageAt(page).includes(makeKey) || !pageAt(page).includes('SECRET_KEY_FILE=secret.key'), `${page} says how to make the key file`)
  for (const block of withSettings.flatMap((page) => blocksOf(pageAt(page), 'env'))) {
    const folder = t.testdir()
    t.equal(await bash(asHere(makeKey), folder), '')
    writeFileSync(join(folder, '.env'), block)
    const read = parseEnv(block)
    for (const [line, name = '', value = ''] of block.matchAll(/^(\w+)=(.*)$/gm)) t.equal(read[name], value.replace(/^(["'])(.*)\1$/, '$2'), `Node reads all of ${line}`)
    const { url, output, end } = await startService(t, folder, { DATA_DIR: 'data' })
    t.equal((await fetch(`${url}/healthz`)).status, 200)
    const page = await (await fetch(`${url}/login`, { headers: { accept: 'text/html' } })).text()
    for (const shown of [read['PAGE_TITLE'], read['PAGE_LOGO'], read['PAGE_ACCENT_COLOR']].filter((text) => text !== undefined)) t.ok(page.includes(shown), shown)
    t.notMatch(output(), 'mode: demo')
    t.equal(await end(), 0)
  }
})

t.test('the list of sessions has the members shown in docs/http-api.md', async (t) => {
  const { url, end } = await startService(t, t.testdir())
  const harry = new Client(url)
  await harry.login()
  const list = (await harry.get('/sessions', { accept: 'application/json' })).json()
  const shown = JSON.parse(blocksOf(pageAt('docs/http-api.md'), 'json')[0] as string)
  t.same(Object.keys(shown), Object.keys(list))
  t.same(Object.keys(shown.sessions[0]), Object.keys(list.sessions[0]))
  t.equal(await end(), 0)
})

t.test('the pages name the package that npm pack creates', async (t) => {
  const named = allPages.flatMap((page) => pageAt(page).match(/hatcheck-\d[\w.-]*\.tgz/g) ?? [])
  t.same([...new Set(named)], [`hatcheck-${manifest.version}.tgz`])
})
