import { test } from 'tap'
import { startService } from '../service.js'
import { deviceCookies, oneBlock, oneName } from './logins.js'
import { underAttack } from './under-attack.js'

const owner = { name: 'Owner', password: 'a device that is known here' }

test('the owner of a known device logs in while the name is flooded', async (t) => {
  const service = await startService(t, t.testdir())
  const { logins, refusals } = await underAttack(t, service, async () => {
    const { 429: throttled = 0, 503: busy = 0, 401: checked = 0 } = await oneName(service.url, owner.name, 400)
    t.ok(checked <= 20, `${checked} of 400 passwords are looked at`)
    t.equal(throttled + busy + checked, 400)
  }, owner)
  t.ok(logins > 0)
  t.strictSame(refusals, [])
})

test('device cookies of one account have a limit together', async (t) => {
  const { url } = await startService(t, t.testdir())
  await oneName(url, 'Ginny', 1)
  const { 401: checked = 0 } = await deviceCookies(url, owner.name, owner.password, 12, 60)
  t.ok(checked > 0 && checked <= 40, `${checked} of 60 passwords are looked at`)
})

test('a /48 is refused before everybody has to wait', async (t) => {
  const { url } = await startService(t, t.testdir(), { SECRET_KEY: `for tests: ${'0123456789abcdef'.repeat(3)}${process.pid}`, TRUST_PROXY: '127.0.0.1', SESSION_COOKIE_SECURE: 'false', SIGNUP: 'closed' })
  const { 401: checked = 0 } = await oneBlock(url, 300)
  t.ok(checked > 0 && checked <= 270, `${checked} of 300 passwords are looked at`)
})
