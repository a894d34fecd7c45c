import { Agent } from 'node:http'
import { test, type Test } from 'tap'
import { Client } from '../../clients/client.js'
import { testKey } from '../../helper.js'
import { startService, type Service } from '../../processes/service.js'
import { filled, inForm, type Asked } from './inputs.js'
import { endures, many } from './under-attack.js'

// Texts that take long to normalize or to judge. For the first of these no account was needed: one request delayed all others
// by 40 to 130 ms, and 20 a second for 700 ms.
//
//                                         one request before    now
//   a name of 16 KB                                    46 ms   1 ms
//   a new password of 16 KB, by a user                 29 ms   1 ms
//   the password of a new account, of 1 KB          9 to 14 ms  1 ms beside the hash
//
// HATCHECK_ATTACKS=all sends ten times as many.

const REQUESTS = process.env['HATCHECK_ATTACKS'] === 'all' ? 2_000 : 200

const MARKS = filled('\u0315\u0300\u05AE\u0323', 15_000, ['a', ''])
const LONG = [
  // Each of these becomes 18 characters in compatibility form.
  filled('\uFDFA', 1_024),
  filled('\u0315\u0300\u05AE\u0323', 1_024, ['a', '']),
  filled('1237894560', 1_000, ['!', '7attackerq'])
]

test('a name of 16 KB of combining marks delays no other request', async (t) => {
  const service = await start(t)
  await endures(t, service, sending(t, service, () => inForm('/login', { client_name: MARKS, password: 'x' })))
})

test('the password of a new account that is slow to judge delays no other request', async (t) => {
  const service = await start(t)
  await endures(t, service, sending(t, service, (i) => inForm('/login', { client_name: `attacker ${i}`, password: LONG[i % LONG.length] as string })))
})

test('a new password that is slow to normalize or to judge delays no other request', async (t) => {
  const service = await start(t)
  const attacker = new Client(service.url)
  await attacker.login('Attacker', 'the password of an attacker')
  const headers = { cookie: attacker.cookieHeader }
  await endures(t, service, sending(t, service, (i) => inForm('/password', { current_password: 'a wrong one', new_password: [MARKS, ...LONG][i % 4] as string }, headers)))
})

function start (t: Test): Promise<Service> {
  return startService(t, t.testdir(), { SECRET_KEY: testKey, SIGNUP: 'open', SESSION_COOKIE_SECURE: 'false', LOG_LEVEL: 'info' })
}

function sending (t: Test, { url }: Service, ask: (i: number) => Asked): () => Promise<void> {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => { agent.destroy() })
  return async () => {
    await many(REQUESTS, (i) => new Client(url, { agent }).send(ask(i)))
  }
}
