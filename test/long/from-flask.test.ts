import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tap, { test, type Test } from 'tap'
import { createFlaskSigner } from '../../plugins/storage/flask/signature.js'
import { Client, type Answer } from '../clients/client.js'
import { needs, testKey } from '../helper.js'
import { pageAt } from '../pages/pages.js'
import { blocksOf } from '../pages/walk.js'
import { startProgram, type Running } from '../processes/child.js'
import { freePort } from '../processes/free-port.js'
import { needsFlask } from '../programs/flask.js'
import { startNginx } from '../programs/nginx.js'
import { until } from '../time/loop-clock.js'

tap.setTimeout(120_000)

const both = { skip: needsFlask().skip || needs('nginx').skip }
const OLD_KEY = `${testKey} of last year`

/** The two applications of docs/from-flask.md behind its nginx. */
interface Site {
  /** The address of nginx, with the login in Flask. */
  readonly before: string
  /** The same once the login has moved to Fastify. */
  readonly after: string
}

async function startSite (t: Test): Promise<Site> {
  const page = pageAt('docs/from-flask.md')
  const [flask = ''] = blocksOf(page, 'py')
  const [fastify = ''] = blocksOf(page, 'js')
  const [locations = ''] = blocksOf(page, 'nginx')
  const folder = t.testdir({
    'users.js': "export const checkPassword = async ({ name, password }) => name === 'Harry' && password === '12345678'\n",
    'users.py': "def check_password(body):\n    return body['name'] == 'Harry' and body['password'] == '12345678'\n"
  })
  const port = await freePort()
  writeFileSync(join(folder, 'old.py'), flask.replace('app.run(port=5000)', `print('listening at http://127.0.0.1:${port}', flush=True)\napp.run(port=${port})`))
  writeFileSync(join(folder, 'new.mjs'), fastify.replace('Fastify({', 'Fastify({ logger: true,').replace('port: 3000', 'port: 0'))
  const started = async (program: string, file: string): Promise<Running> => {
    const running = await startProgram(program, [file], folder, { SECRET_KEY: testKey, NODE_ENV: 'test' })
    t.teardown(() => running.stop())
    await until(`${file} answers`, () => new Client(running.address).get('/').then(() => true, () => false))
    return running
  }
  const [old, now] = [await started('python3', 'old.py'), await started(process.execPath, 'new.mjs')]
  const server = locations.replaceAll('http://127.0.0.1:5000', old.address).replaceAll('http://127.0.0.1:3000', now.address)
  const moved = /`(location = \/login .*)`/.exec(page)?.[1] ?? ''
  t.match(moved, 'proxy_pass')
  return {
    before: await startNginx(t, { server }),
    after: await startNginx(t, { server: `${server}${moved.replace('http://127.0.0.1:3000', now.address)}` })
  }
}

const send = (client: Client, url: string, payload: object = {}, cookie?: string): Promise<Answer> =>
  client.send({ method: 'POST', url, headers: { 'content-type': 'application/json', ...cookie !== undefined && { cookie } }, payload })
const login = (client: Client): Promise<Answer> => send(client, '/login', { name: 'Harry', password: '12345678' })

test('a Flask application moves route by route behind nginx, as docs/from-flask.md says, and its users stay logged in', both, async (t) => {
  const { before, after } = await startSite(t)

  await t.test('a login in Flask is one in Fastify, and the values of each survive the other', async (t) => {
    const client = new Client(before)
    t.equal((await send(client, '/cart/apple')).statusCode, 401)
    t.equal((await login(client)).body, 'welcome')
    const since = (await client.get('/since')).body
    t.equal((await send(client, '/cart/apple')).body, 'apple')
    t.equal((await send(client, '/cart/pear')).body, 'apple, pear')
    t.equal((await client.get('/account')).body, 'Harry: apple, pear')
    t.equal((await client.get('/since')).body, since, 'a datetime is still one')
    t.equal((await send(client, '/logout')).body, 'bye')
    t.equal((await send(client, '/cart/apple')).statusCode, 401)
  })

  await t.test('a login in Fastify is one in Flask, and so is a logout', async (t) => {
    const client = new Client(after)
    t.equal((await login(client)).body, 'welcome')
    t.equal((await send(client, '/cart/apple')).body, 'apple')
    t.equal((await client.get('/account')).body, 'Harry: apple')
    t.equal((await send(client, '/logout')).body, 'bye')
    t.equal((await client.get('/account')).statusCode, 401)
    t.equal((await send(client, '/cart/apple')).statusCode, 401)
  })

  await t.test('an expired, a tampered and an old-key cookie is anonymous in both', async (t) => {
    const client = new Client(before)
    const now = Math.floor(Date.now() / 1000)
    const payload = Buffer.from('{"client_name":"Harry"}').toString('base64url')
    const signed = (key: string, age: number): string => createFlaskSigner([Buffer.from(key)]).sign(payload, now - age)
    const good = signed(testKey, 0)
    for (const [cookie, status] of [
      [good, 200], [signed(testKey, 31 * 86_400 - 30), 200], [signed(testKey, 31 * 86_400 + 2), 401], [signed(OLD_KEY, 0), 401],
      [good.replace('.', 'A.'), 401], [good.slice(0, -1), 401], [`.${good}`, 401], ['', 401]
    ] as const) {
      t.equal((await client.get('/account', { cookie: `session=${cookie}` })).statusCode, status, cookie)
      t.equal((await send(client, '/cart/apple', {}, `session=${cookie}`)).statusCode, status, cookie)
    }
  })
})
