import { readFileSync, readdirSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import type { Mode } from '../plugins/config/mode.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { secretsOf } from '../plugins/tickets/secrets.js'
import { messageOf } from './apps/configured.js'
import { logIn, userOf } from './clients/client.js'
import { testKey } from './helper.js'
import { startService } from './processes/service.js'

const otherKey = testKey.split('').reverse().join('')
const GOOD_ONE = '"npx hatcheck secret" prints a good one.'

test('a key that is missing, short, well-known or listed twice is refused, and not shown', async (t) => {
  const secrets = (options: object, mode: Mode) => () => secretsOf(resolveConfig(options as GivenOptions, mode))
  const short = 'this is hunter2'
  const rules: Array<[object, string, string]> = [
    [{ secretKey: short }, `secretKey must be at least 32 bytes long, but is 15. ${GOOD_ONE}`, `SECRET_KEY must be at least 32 bytes long, but is 15. ${GOOD_ONE}`],
    [{ secretKey: new Uint8Array(31) }, `secretKey must be at least 32 bytes long, but is 31. ${GOOD_ONE}`, `SECRET_KEY must be at least 32 bytes long, but is 31. ${GOOD_ONE}`],
    [{ secretKey: '' }, `secretKey must be at least 32 bytes long, but is 0. ${GOOD_ONE}`, `SECRET_KEY must be at least 32 bytes long, but is 0. ${GOOD_ONE}`],
    ...['x'.repeat(64), 'abc'.repeat(20), 'change-me-change-me-0123456789-abcdef', 'keyboard cat keyboard cat 0123456789', 'your-super-secret-key-0123456789-abcdef', new Uint8Array(32),
      '0123456789abcdef'.repeat(3), Buffer.from('correct horse battery '.repeat(2)), 'averylogphrasebiggerthanthirtytwochars', 'a very long secret phrase of 39 letters']
      .map((secretKey): [object, string, string] => [{ secretKey }, `secretKey is easy to guess: it must be random. ${GOOD_ONE}`, `SECRET_KEY is easy to guess: it must be random. ${GOOD_ONE}`]),
    [{ secretKey: 5 }, 'secretKey must be text or bytes, not number.', 'SECRET_KEY must be text or bytes, not number.'],
    [{ secretKey: testKey, secretKeyFile: 'key' }, 'secretKey and secretKeyFile are both set: set one of them.', 'SECRET_KEY and SECRET_KEY_FILE are both set: set one of them.'],
    [{ secretKey: testKey, secretKeyFallbacks: [short] }, `secretKeyFallbacks must be at least 32 bytes long, but is 15. ${GOOD_ONE}`, `SECRET_KEY_FALLBACKS must be at least 32 bytes long, but is 15. ${GOOD_ONE}`],
    [{ secretKey: testKey, secretKeyFallbacks: testKey }, 'secretKey and secretKeyFallbacks must all be different.', 'SECRET_KEY and SECRET_KEY_FALLBACKS must all be different.'],
    [{ secretKey: testKey, secretKeyFallbacks: [otherKey, otherKey] }, 'secretKey and secretKeyFallbacks must all be different.', 'SECRET_KEY and SECRET_KEY_FALLBACKS must all be different.']
  ]
  for (const [options, pluginRule, serviceRule] of rules) {
    t.throws(secrets(options, 'plugin'), { code: 'HATCHECK_CONFIG', message: pluginRule })
    t.throws(secrets(options, 'service'), { code: 'HATCHECK_CONFIG', message: serviceRule })
    t.notMatch(pluginRule + serviceRule, 'hunter2')
  }
  t.throws(secrets({}, 'plugin'), { message: `secretKey is required: at least 32 random bytes. ${GOOD_ONE}` })

  const folder = t.testdir({
    'good.key': `${testKey}\n`,
    'short.key': 'short\n',
    'commented.key': `# session keys of hatcheck on app.example.com\r\n\n${testKey}\r\n  # before the summer of 2026, on the old server:\n${otherKey}`,
    'comment.key': '# session keys of hatcheck on app.example.com\n'
  })
  t.same(secrets({ secretKeyFile: join(folder, 'commented.key') }, 'plugin')(), [Buffer.from(testKey), Buffer.from(otherKey)])
  t.throws(secrets({ secretKeyFile: join(folder, 'comment.key') }, 'service'), { message: `SECRET_KEY_FILE must be at least 32 bytes long, but is 0. ${GOOD_ONE}` })
  t.same(secrets({ secretKeyFile: join(folder, 'good.key'), secretKeyFallbacks: ` ${otherKey} ,` }, 'service')(), [Buffer.from(testKey), Buffer.from(otherKey)])
  t.throws(secrets({ secretKeyFile: join(folder, 'short.key') }, 'service'), { message: `SECRET_KEY_FILE must be at least 32 bytes long, but is 5. ${GOOD_ONE}` })
  t.throws(secrets({ secretKeyFile: join(folder, 'no.key') }, 'service'), { message: /^SECRET_KEY_FILE cannot be read: ENOENT.*no\.key'\.$/ })
})

test('a damaged key file of the service is reported with its path and the remedy', async (t) => {
  for (const [content, rule] of [['', 'must be at least 32 bytes long, but is 0.'], ['\n', 'must be at least 32 bytes long, but is 0.'], ['hunter2\n', 'must be at least 32 bytes long, but is 7.'],
    ['\0'.repeat(44), 'is easy to guess: it must be random.']] as const) {
    const dataDir = t.testdir({ 'secret.key': content })
    const file = join(dataDir, 'secret.key')
    for (const mode of ['demo', 'service'] as const) {
      const read = (): Buffer[] => secretsOf(resolveConfig({ dataDir }, mode))
      t.throws(read, { code: 'HATCHECK_CONFIG', message: `${file} ${rule} It is damaged: restore it from a backup, or delete it. Without it, the next start makes a new key, and every session ends.` })
      t.notMatch(messageOf(read), 'hunter2')
    }
    t.equal(readFileSync(file, 'utf8'), content, 'and the file is unchanged')
    unlinkSync(file)
    t.equal(secretsOf(resolveConfig({ dataDir }, 'service'))[0]?.length, 43)
  }
})

test('only the service\'s user can read the key file that it creates, and the key persists', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'data', 'secret.key')
  const first = await startService(t, folder)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(statSync(join(folder, 'data')).mode & 0o077, 0, 'the folder is closed to others too')
  const key = readFileSync(file, 'utf8')
  t.match(key, /^[\w-]{43}\n$/)
  t.notMatch(first.output(), key.trim())
  t.equal(await first.end(), 0)
  await startService(t, folder)
  t.equal(readFileSync(file, 'utf8'), key)
})

test('services that start simultaneously in an empty folder agree on one key', async (t) => {
  const folder = t.testdir()
  const services = await Promise.all([1, 2, 3].map(async () => await startService(t, folder)))
  const cookie = await logIn(services[0]?.url ?? '')
  for (const { url } of services) t.equal(await userOf(url, cookie), 'Harry')
  t.same(readdirSync(join(folder, 'data')).sort(), ['.gitignore', 'lmdb', 'secret.key'], 'no temporary key file is left')
})
