import { test } from 'tap'
import { hatcheckCli, startService } from '../../processes/service.js'
import { deviceCookies, oneBlock, oneName } from './logins.js'
import { OWNER, endures } from './under-attack.js'

//                                                            version 0.1     now
//   a known device, while 64 tries for its name wait         0 of 47 get in  every time
//   tries at once by forty cookies of one account            240 of 240      40 of them are looked at
//   a new browser with the right password, while a /48 tries 11 of 123       999 of 1,000 (npm run simulate)

test('during many simultaneous attempts for one name, the service answers and a known device logs in', async (t) => {
  const service = await startService(t, t.testdir(), { LOG_LEVEL: 'info' })
  await endures(t, service, async () => {
    const { 429: throttled = 0, 503: busy = 0, 401: checked = 0 } = await oneName(service.url, OWNER.name, 210)
    t.ok(checked <= 20, `${checked} of 210 passwords are looked at`)
    t.equal(throttled + busy + checked, 210)
  })
})

test('during attempts with many device cookies of one account, the service answers and a known device logs in', async (t) => {
  const service = await startService(t, t.testdir(), { LOG_LEVEL: 'info' })
  await endures(t, service, async () => {
    const { 401: checked = 0, 429: throttled = 0 } = await deviceCookies(service.url, 'Ginny', 'a password of the attacker', 12, 60)
    t.ok(checked <= 40, `${checked} of 60 passwords are looked at`)
    t.ok(throttled > 0)
  })
})

test('during attempts from one /48, the service answers and a known device logs in', async (t) => {
  const env = { SECRET_KEY: `for tests: ${'0123456789abcdef'.repeat(3)}${process.pid}`, TRUST_PROXY: '127.0.0.1', SESSION_COOKIE_SECURE: 'false', SIGNUP: 'closed', LOG_LEVEL: 'info' }
  const folder = t.testdir()
  t.equal((await hatcheckCli(folder, ['user', 'add', OWNER.name], { env, input: `${OWNER.password}\n` })).code, 0)
  const service = await startService(t, folder, env)
  await endures(t, service, async () => {
    const { 401: checked = 0, 429: throttled = 0 } = await oneBlock(service.url, 250)
    t.ok(checked <= 230, `${checked} of 250 passwords are looked at`)
    t.ok(throttled > 0)
  })
})
