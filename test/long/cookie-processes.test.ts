import { test } from 'tap'
import { Client, logIn, userOf } from '../clients/client.js'
import { needs, testKey } from '../helper.js'
import { startService } from '../processes/service.js'
import { startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'

// What is answered holds after a kill as well: the torture has an application with sessions in cookies.

test('a logout holds in another process and after a restart, on one LMDB folder', async (t) => {
  const folder = fastFolder(t)
  const env = { SESSION_STORE: 'cookie:' }
  const one = await startService(t, folder, env)
  const [leaver, stayer] = [await logIn(one.url), await logIn(one.url, 'Sally')]
  const other = await startService(t, folder, env)
  t.strictSame(await Promise.all([leaver, stayer].map((cookie) => userOf(other.url, cookie))), ['Harry', 'Sally'])
  t.equal((await new Client(other.url).post('/logout', {}, { cookie: leaver })).statusCode, 303)
  for (const url of [one.url, other.url]) t.strictSame(await Promise.all([leaver, stayer].map((cookie) => userOf(url, cookie))), [null, 'Sally'])
  for (const service of [one, other]) t.equal(await service.end(), 0)
  const again = await startService(t, folder, env)
  t.strictSame(await Promise.all([leaver, stayer].map((cookie) => userOf(again.url, cookie))), [null, 'Sally'])
  for (const path of ['/verify', '/whoami', '/sessions', '/password']) {
    t.equal((await new Client(again.url).get(path, { cookie: leaver, accept: 'application/json' })).statusCode, 401, path)
  }
})

test('a logout holds in another process, on one Redis, and Redis that is down is a 503', needs('redis-server'), async (t) => {
  const redis = await startRedis(t)
  const env = { SESSION_STORE: `cookie:${redis.url}` }
  const folder = fastFolder(t)
  const [one, other] = [await startService(t, folder, env), await startService(t, folder, env)]
  const [leaver, stayer] = [await logIn(one.url), await logIn(one.url, 'Sally')]
  t.equal((await new Client(one.url).post('/logout', {}, { cookie: leaver })).statusCode, 303)
  t.strictSame(await Promise.all([leaver, stayer].map((cookie) => userOf(other.url, cookie))), [null, 'Sally'])
  await redis.stop()
  const answer = await new Client(other.url).get('/', { cookie: stayer })
  t.equal(answer.statusCode, 503)
  t.equal(answer.headers['set-cookie'], undefined)
  t.equal((await new Client(other.url).get('/')).statusCode, 200)
})

test('with its ends in memory, every session ends with the process', async (t) => {
  const [folder, env] = [fastFolder(t), { SESSION_STORE: 'cookie:memory:', SECRET_KEY: testKey, SIGNUP: 'open', SESSION_COOKIE_SECURE: 'false', PASSWORD_MIN_LENGTH: '8' }]
  const one = await startService(t, folder, env)
  const cookie = await logIn(one.url, 'Harry', 'a long enough password')
  t.equal(await userOf(one.url, cookie), 'Harry')
  await one.end()
  t.equal(await userOf((await startService(t, folder, env)).url, cookie), null)
})
