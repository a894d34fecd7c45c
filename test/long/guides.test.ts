import fastifyCookie from '@fastify/cookie'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test, type Test } from 'tap'
import { hatcheck } from '../../app.js'
import { oldApp, oldSecret } from '../apps/old-apps.js'
import { Client } from '../clients/client.js'
import { newFastify, testKey } from '../helper.js'
import { pageAt } from '../pages/pages.js'
import { blocksOf } from '../pages/walk.js'
import { startProgram } from '../processes/child.js'
import { freePort } from '../processes/free-port.js'
import { needsFlask } from '../programs/flask.js'
import { until } from '../time/loop-clock.js'

const JSON_BODY = { 'content-type': 'application/json' }
const environment = { SECRET_KEY: testKey, OLD_SECRET: oldSecret, NODE_ENV: 'test' }

/** What both programs of a guide import. */
const modules = {
  'users.js': "export const checkPassword = async ({ name, password }) => name === 'Harry' && password === '12345678'\n",
  'users.py': "def check_password(body):\n    return body['name'] == 'Harry' and body['password'] == '12345678'\n",
  // A store in files: the old program and the new one are two processes.
  'store.js': `
    import session from 'express-session'
    import { readFileSync, rmSync, writeFileSync } from 'node:fs'

    class FileStore extends session.Store {
      get (sid, callback) {
        try { callback(null, JSON.parse(readFileSync(sid + '.json', 'utf8'))) } catch (error) { callback(error) }
      }

      set (sid, values, callback) {
        writeFileSync(sid + '.json', JSON.stringify(values))
        callback()
      }

      destroy (sid, callback) {
        rmSync(sid + '.json', { force: true })
        callback()
      }
    }

    export const store = new FileStore()
  `
}

/** The program before the diff of a guide, and the one after it. */
function programsOf (page: string): { before: string, after: string } {
  const lines = (blocksOf(pageAt(page), 'diff')[0] ?? '').split('\n')
  const side = (other: string): string => lines.filter((line) => !line.startsWith(other)).map((line) => line.slice(1)).join('\n')
  return { before: side('+'), after: side('-') }
}

/** Starts the new program on a free port. */
async function startAfter (folder: string, program: string): Promise<Awaited<ReturnType<typeof startProgram>>> {
  writeFileSync(join(folder, 'after.mjs'), program.replace('Fastify()', 'Fastify({ logger: true })').replace('port: 3000', 'port: 0'))
  return await startProgram(process.execPath, ['after.mjs'], folder, environment)
}

const login = (client: Client, password = '12345678'): ReturnType<Client['send']> =>
  client.send({ method: 'POST', url: '/login', headers: JSON_BODY, payload: { name: 'Harry', password } })

/** What a user does in either program. */
async function converse (t: Test, address: string): Promise<void> {
  const client = new Client(address)
  t.equal((await client.get('/account')).statusCode, 401)
  t.equal((await client.send({ method: 'POST', url: '/cart/apple' })).body, 'apple')
  t.equal((await login(client, 'wrong')).statusCode, 401)
  t.equal((await login(client)).body, 'welcome')
  t.equal((await client.send({ method: 'POST', url: '/cart/pear' })).body, 'apple, pear')
  t.equal((await client.get('/account')).body, 'Harry: apple, pear')
  t.equal((await client.send({ method: 'POST', url: '/logout' })).body, 'bye')
  t.equal((await client.get('/account')).statusCode, 401)
}

test('the two programs of docs/from-express-session.md do the same, and the second continues the sessions of the first', async (t) => {
  const folder = t.testdir(modules)
  const { before, after } = programsOf('docs/from-express-session.md')
  writeFileSync(join(folder, 'before.mjs'), before.replace('app.listen(3000)',
    "const server = app.listen(0, '127.0.0.1', () => { console.log('listening at http://127.0.0.1:' + server.address().port) })"))
  const old = await startProgram(process.execPath, ['before.mjs'], folder, environment)
  await converse(t, old.address)
  const harry = new Client(old.address)
  await harry.send({ method: 'POST', url: '/cart/apple' })
  await login(harry)
  await old.stop()

  const now = await startAfter(folder, after)
  await converse(t, now.address)
  const moved = new Client(now.address)
  for (const [name, value] of harry.cookies) moved.cookies.set(name, value)
  t.equal((await moved.get('/account')).body, 'Harry: apple')
  t.strictSame([...moved.cookies.keys()], ['hatcheck'])
  await now.stop()
})

test('the program with hatcheck in docs/from-flask.md keeps carts and logins', async (t) => {
  const folder = t.testdir(modules)
  const now = await startAfter(folder, programsOf('docs/from-flask.md').after)
  await converse(t, now.address)
  await now.stop()
})

test('the program with Flask in docs/from-flask.md does the same', needsFlask(), async (t) => {
  const folder = t.testdir(modules)
  const port = await freePort()
  writeFileSync(join(folder, 'before.py'), programsOf('docs/from-flask.md').before
    .replace('app.run(port=3000)', `print('listening at http://127.0.0.1:${port}', flush=True)\napp.run(port=${port})`))
  const old = await startProgram('python3', ['before.py'], folder, environment)
  await until('Flask answers', () => new Client(old.address).get('/account').then(() => true, () => false))
  await converse(t, old.address)
  await old.stop()
})

test('the registration in docs/from-fastify-session.md continues a session of @fastify/session', async (t) => {
  const [example = ''] = blocksOf(pageAt('docs/from-fastify-session.md'), 'js')
  const folder = t.testdir({
    'register.mjs': `export const register = async (app, hatcheck, process, oldStore) => {\n${example.replace('secretKey', "sessionStore: 'memory:', secretKey")}}\n`
  })
  const old = await oldApp(t, '@fastify/session')
  const app = newFastify(t)
  await app.register(fastifyCookie)
  const { register } = await import(pathToFileURL(join(folder, 'register.mjs')).href)
  await register(app, hatcheck, { env: environment }, old.store)
  app.get('/', async ({ user }) => user?.name)
  t.equal((await app.inject({ url: '/', headers: { cookie: await old.begin({ user: 'Harry' }) } })).body, 'Harry')
})
