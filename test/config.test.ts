import { join } from 'node:path'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import { test } from 'tap'
import { hatcheck, type HatcheckOptions } from '../app.js'
import { readEnvironment } from '../plugins/config/environment.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import { openStorage } from '../plugins/storage/open.js'
import { secretsOf } from '../plugins/tickets/secrets.js'
import { buildFrom, messageOf } from './apps/configured.js'
import { logInto } from './apps/log-lines.js'
import { Client } from './clients/client.js'
import { newFastify, sessionCookieOf, testKey } from './helper.js'

const GOOD_ONE = '"npx hatcheck secret" prints a good one.'
/** A rule in the words of its reader: options for an application, variables for the service. */
type Rule = (name: (option: string) => string) => string

const log = { info () {}, warn () {} }

const DROPPED = 'browsers drop such a cookie.'

test('the error for an unknown option names those that may be meant', async (t) => {
  const meant = {
    sessionLifeTime: 'sessionLifetime',
    SECRET_KEY: 'secretKey',
    'session-store': 'sessionStore',
    store: 'sessionStore',
    cookieName: 'sessionCookieName or formerCookieNames',
    maxAge: 'sessionLifetime',
    cookie: 'sessionCookieName, formerCookieNames, sessionCookieDomain, sessionCookiePath, sessionCookieSecure, sessionCookieSamesite or sessionCookiePartitioned'
  }
  for (const [option, options] of Object.entries(meant)) {
    t.throws(() => resolveConfig({ secretKey: testKey, [option]: 1 } as never, 'plugin'), { message: `${option} is not an option of hatcheck. Did you mean ${options}?` })
  }
  for (const option of ['key', 'rolling', 'sessionTimeout']) {
    t.throws(() => resolveConfig({ secretKey: testKey, [option]: 1 } as never, 'plugin'), { message: `${option} is not an option of hatcheck.` })
  }
})

test('the error for each option states its rule, under the name that the caller uses', async (t) => {
  const rules: Array<[Record<string, unknown>, Rule]> = [
    [{ nonsense: 1 }, () => 'nonsense is not an option of hatcheck.'],
    [{ sessionCookieName: '__Host-x', sessionCookieDomain: 'example.com', sessionCookieSecure: true }, (name) =>
      `${name('sessionCookieName')} begins with __Host-, so ${name('sessionCookieDomain')} must not be set: ${DROPPED}`],
    [{ sessionCookieName: '__Host-Http-x', sessionCookieDomain: 'example.com', sessionCookieSecure: true }, (name) =>
      `${name('sessionCookieName')} begins with __Host-, so ${name('sessionCookieDomain')} must not be set: ${DROPPED}`],
    [{ sessionCookieName: '__Host-x', sessionCookiePath: '/app', sessionCookieSecure: 'true' }, (name) =>
      `${name('sessionCookieName')} begins with __Host-, so ${name('sessionCookiePath')} must be /: ${DROPPED}`],
    ...[{ sessionCookieName: '__Host-x', sessionCookieSecure: 'auto' }, { sessionCookieName: '__host-x', sessionCookieSecure: false }, { sessionCookieName: '__Secure-x' }, { sessionCookieName: '__Http-x' }, { sessionCookieName: '__HTTP-x', sessionCookieSecure: 'auto' }, { sessionCookieName: '__Host-Http-x' }]
      .map((options): [Record<string, unknown>, Rule] => [options, (name) =>
        `${name('sessionCookieName')} begins with __Host-, __Secure- or __Http-, so ${name('sessionCookieSecure')} must be true: ${DROPPED}`]),
    [{ sessionCookieSamesite: 'None' }, (name) => `${name('sessionCookieSamesite')}=none needs ${name('sessionCookieSecure')}=true: ${DROPPED}`],
    [{ sessionCookiePartitioned: true, sessionCookieSecure: 'auto' }, (name) => `${name('sessionCookiePartitioned')} needs ${name('sessionCookieSecure')}=true: ${DROPPED}`],
    [{ sessionCookieSecure: 'perhaps' }, (name) => `${name('sessionCookieSecure')} must be one of true, false, auto; got "perhaps".`],
    [{ sessionCookieSamesite: 'sometimes' }, (name) => `${name('sessionCookieSamesite')} must be one of lax, strict, none; got "sometimes".`],
    [{ sessionCookiePartitioned: 'perhaps' }, (name) => `${name('sessionCookiePartitioned')} must be true or false; got "perhaps".`],
    [{ sessionIdleTimeout: 3_601, sessionLifetime: '3600' }, (name) => `${name('sessionIdleTimeout')} must not be longer than ${name('sessionLifetime')}.`],
    [{ permanentSessionIdleTimeout: 20, permanentSessionLifetime: 10 }, (name) =>
      `${name('permanentSessionIdleTimeout')} must not be longer than ${name('permanentSessionLifetime')}.`],
    [{ sessionIdleTimeout: 0 }, (name) => `${name('sessionIdleTimeout')} must be at least 1; got 0.`],
    ...['soon', '1e3', '0x1000', '3600s'].map((sessionLifetime): [Record<string, unknown>, Rule] => [{ sessionLifetime }, (name) =>
      `${name('sessionLifetime')} must be an integer number of seconds; got "${sessionLifetime}".`]),
    ...Object.entries({ sessionIdleTimeout: 'seconds', permanentSessionIdleTimeout: 'seconds', permanentSessionLifetime: 'seconds', sessionMaxBytes: 'bytes', passwordMinLength: 'characters' })
      .map(([option, unit]): [Record<string, unknown>, Rule] => [{ [option]: '1e3' }, (name) => `${name(option)} must be an integer number of ${unit}; got "1e3".`]),
    [{ sessionLifetime: 3_600.5 }, (name) => `${name('sessionLifetime')} must be an integer number of seconds; got 3600.5.`],
    [{ permanentSessionLifetime: 401 * 86_400 }, (name) => `${name('permanentSessionLifetime')} must be at most 34560000; got 34646400.`],
    [{ sessionMaxBytes: 255 }, (name) => `${name('sessionMaxBytes')} must be at least 256; got 255.`],
    [{ sessionsPerUser: 0 }, (name) => `${name('sessionsPerUser')} must be at least 1; got 0.`],
    [{ sessionsPerUser: '10001' }, (name) => `${name('sessionsPerUser')} must be at most 10000; got "10001".`],
    [{ sessionsPerUser: 'many' }, (name) => `${name('sessionsPerUser')} must be an integer number of sessions; got "many".`],
    [{ anonymousSessions: 'perhaps' }, (name) => `${name('anonymousSessions')} must be true or false; got "perhaps".`],
    [{ anonymousSessionsPerMinute: 0 }, (name) => `${name('anonymousSessionsPerMinute')} must be at least 1; got 0.`],
    [{ anonymousSessions: false, anonymousSessionsPerMinute: 5 }, (name) =>
      `${name('anonymousSessionsPerMinute')} must not be set with ${name('anonymousSessions')}=false: no such session can begin.`],
    [{ passwordMinLength: '7' }, (name) => `${name('passwordMinLength')} must be at least 8; got "7".`],
    [{ sessionStore: 5 }, (name) => `${name('sessionStore')} must be memory:, lmdb:, lmdb:./folder, redis://…, cookie:, flask: or a session store; got 5.`],
    [{ sessionStore: { sync: true, read () {}, create () {} } }, (name) => `${name('sessionStore')} must keep the contract of SessionStore; the method patch is missing. A store made for express-session needs expressStore(store).`],
    [{ signup: 'maybe' }, (name) => `${name('signup')} must be one of open, closed; got "maybe".`],
    [{ signup: 'open', authenticate: () => null }, (name) => `${name('signup')} must not be set with authenticate: hatcheck then keeps no accounts.`],
    ...['https://app.example.com/', 'https://app.example.com/path', 'app.example.com', '*', 'null', 'https://app.example.com:443']
      .map((origin): [Record<string, unknown>, Rule] => [{ allowedOrigins: ['https://good.example.com', origin] }, (name) =>
        `${name('allowedOrigins')} must be origins such as https://app.example.com, without a path; got "${origin}".`]),
    ...['secretKeyFallbacks', 'allowedOrigins'].flatMap((option) => [5, true, {}, new Uint8Array(32)].map((value): [Record<string, unknown>, Rule] => [{ [option]: value }, (name) =>
      `${name(option)} must be a list, or text with commas between the parts.`]))
  ]
  for (const [options, rule] of rules) {
    t.throws(() => resolveConfig({ secretKey: testKey, ...options }, 'plugin'), { code: 'HATCHECK_CONFIG', message: rule((option) => option) })
    t.throws(() => resolveConfig({ secretKey: testKey, ...options }, 'service'), { code: 'HATCHECK_CONFIG', message: rule(variableOf) })
  }
  for (const options of [{ sessionCookieName: 'a b' }, { sessionCookieName: 'a;b' }, { sessionCookieDomain: 'a b' }, { sessionCookiePath: 'app' }, { sessionCookiePath: '/;a' }, { prefix: 'auth' }, { prefix: '/auth/' }, { prefix: '//auth' }]) {
    const [option] = Object.keys(options)
    t.throws(() => resolveConfig({ secretKey: testKey, ...options }, 'plugin'), { code: 'HATCHECK_CONFIG', message: new RegExp(`^${option} must .*; got ".*"\\.$`) })
  }
})

test('a default lifetime adapts to the configured idle timeout, and a default idle timeout to the lifetime', async (t) => {
  const HOUR = 3_600
  const DAY = 24 * HOUR
  const cases: Array<[GivenOptions, browser: [idle: number, lifetime: number], permanent: [idle: number, lifetime: number]]> = [
    [{}, [HOUR, DAY], [14 * DAY, 30 * DAY]],
    [{ sessionLifetime: 60 }, [60, 60], [14 * DAY, 30 * DAY]],
    [{ sessionLifetime: '3599' }, [3_599, 3_599], [14 * DAY, 30 * DAY]],
    [{ sessionLifetime: 2 * HOUR }, [HOUR, 2 * HOUR], [14 * DAY, 30 * DAY]],
    [{ sessionIdleTimeout: 2 * DAY }, [2 * DAY, 2 * DAY], [14 * DAY, 30 * DAY]],
    [{ sessionIdleTimeout: 60 }, [60, DAY], [14 * DAY, 30 * DAY]],
    [{ permanentSessionLifetime: HOUR }, [HOUR, DAY], [HOUR, HOUR]],
    [{ permanentSessionIdleTimeout: '5184000' }, [HOUR, DAY], [60 * DAY, 60 * DAY]],
    [{ sessionLifetime: 60, permanentSessionLifetime: 1 }, [60, 60], [1, 1]],
    [{ sessionIdleTimeout: 60, sessionLifetime: 60 }, [60, 60], [14 * DAY, 30 * DAY]]
  ]
  for (const [options, browser, permanent] of cases) {
    for (const mode of ['plugin', 'service', 'demo'] as const) {
      const { lifetimes } = resolveConfig({ secretKey: testKey, ...options }, mode)
      t.same([lifetimes.browser, lifetimes.permanent].map(({ idleSeconds, lifetimeSeconds }) => [idleSeconds, lifetimeSeconds]), [browser, permanent], JSON.stringify(options))
    }
  }
})

test('only the service limits anonymous sessions by default, and only demo mode allows short passwords', (t) => {
  const defaults = (['plugin', 'service', 'demo'] as const).map((mode) => {
    const { anonymousSessionsPerMinute, passwordMinLength, signup } = resolveConfig({ secretKey: testKey }, mode)
    return [anonymousSessionsPerMinute, passwordMinLength, signup]
  })
  t.strictSame(defaults, [[Infinity, 15, 'closed'], [300, 15, 'closed'], [300, 8, 'open']])
  t.end()
})

test('a value that the types refuse is refused at the start, with the name of the option and its rule', async (t) => {
  const oddities = [null, {}, [], [1], Symbol('x'), () => 'x', new Date(0), 10n]
  const rules: Record<string, { rule: RegExp, values: unknown[] }> = {
    secretKey: { rule: /must be text or bytes, not \w+\./, values: [...oddities, 5, true, new ArrayBuffer(64)] },
    secretKeyFile: { rule: /must be the path of a file; got /, values: [...oddities, 5, true, ''] },
    secretKeyFallbacks: { rule: /must be (?:a list, or text with commas|text or bytes, not)/, values: [null, {}, 5, true, [5], [null]] },
    sessionStore: { rule: /must (?:be memory:, .* or a session store; got |keep the contract of SessionStore)/, values: [...oddities, 5, true] },
    dataDir: { rule: /must be the path of a folder; got /, values: [...oddities, 5, true, ''] },
    sessionCookieName: { rule: /must be /, values: [...oddities, 5, true, '', 'a b', 'a='] },
    sessionCookieDomain: { rule: /must be /, values: [...oddities, 5, true, '', 'a/b', 'a-.com', `${'a'.repeat(64)}.com`] },
    sessionCookiePath: { rule: /must be /, values: [...oddities, 5, true, '', 'app'] },
    sessionCookieSecure: { rule: /must be one of true, false, auto; got /, values: [...oddities, 5, 1, '', 'yes', 'TRUE', 'local'] },
    sessionCookieSamesite: { rule: /must be one of lax, strict, none; got /, values: [...oddities, 5, true, '', 'laxx'] },
    sessionCookiePartitioned: { rule: /must be true or false; got /, values: [...oddities, 5, 1, 0, '', 'yes', 'TRUE'] },
    ...Object.fromEntries(['sessionIdleTimeout', 'sessionLifetime', 'permanentSessionIdleTimeout', 'permanentSessionLifetime', 'sessionMaxBytes', 'sessionsPerUser', 'anonymousSessionsPerMinute', 'passwordMinLength'].map((option) =>
      [option, { rule: /must be (?:an integer number of \w+|at (?:least|most) \d+); got /, values: [...oddities, true, '', 'soon', '1e3', NaN, Infinity, 1.5, -1] }])),
    anonymousSessions: { rule: /must be true or false; got /, values: [...oddities, 5, 1, 0, '', 'yes', 'TRUE'] },
    signup: { rule: /must be one of open, closed; got /, values: [...oddities, 5, true, '', 'opne', 'OPEN'] },
    allowedOrigins: { rule: /must be (?:a list, or text with commas|origins such as)/, values: [null, {}, 5, true, [5], [['https://a.example.com']], [null], [new URL('https://a.example.com')]] },
    authenticate: { rule: /must be a function: \(name, password, request\) => \{ name \} or null; got /, values: [null, {}, [], 'x', 5, true, Promise.resolve()] },
    routes: { rule: /must be true, false or a list of home, login, logout, sessions, password, verify[;]/, values: [null, {}, 5, 'true', 'login', ['logni'], ['login', 5], ['session'], ['health'], [null], new Set(['login'])] },
    prefix: { rule: /must be a path such as \/auth, without a slash at the end; got /, values: [...oddities, 5, true, 'auth', '/auth/', '/', '//a', '/a?b', '/a#b', '/a b'] },
    now: { rule: /must be a function that returns the time in ms since the epoch; (?:got|it returned) /, values: [null, {}, 5, 'x', true, () => 'x', () => NaN, () => undefined, () => new Date(), async () => 5, () => 5n] }
  }
  for (const [option, { rule, values }] of Object.entries(rules)) {
    for (const value of values) {
      const start = async (): Promise<unknown> => {
        const fastify = Fastify()
        try {
          return await fastify.register(hatcheck, { ...option === 'secretKeyFile' ? {} : { secretKey: testKey }, sessionStore: 'memory:', [option]: value } as never)
        } finally {
          await fastify.close()
        }
      }
      await t.rejects(start(), { code: 'HATCHECK_CONFIG', message: new RegExp(`^${option} ${rule.source}`) }, `${option}: ${inspect(value)}`)
    }
  }
  for (const options of [{ prefix: undefined }, { prefix: '' }, { sessionCookiePartitioned: 'true', sessionCookieSecure: 'true' }, { sessionsPerUser: '5' }, { authenticate: undefined }, { now: Date.now }, { routes: [] }]) {
    t.doesNotThrow(() => resolveConfig({ secretKey: testKey, ...options } as GivenOptions, 'plugin'), inspect(options))
  }
})

test('an application cannot set an option that only the service has', async (t) => {
  t.throws(() => resolveConfig({ secretKey: testKey, hsts: 'off' }, 'plugin'), { code: 'HATCHECK_CONFIG', message: 'hsts is an option of the service only: an application sets this itself.' })
  t.equal(readEnvironment({ HSTS: 'host' }).options.hsts, 'host')
  t.throws(() => resolveConfig(readEnvironment({ HSTS: 'yes' }).options, 'service'), { message: 'HSTS must be one of off, host, subdomains; got "yes".' })
})

test('valid combinations of options are accepted', async (t) => {
  const fine: GivenOptions[] = [
    { sessionCookieName: '__Host-x', sessionCookieSecure: true }, { sessionCookieName: '__Http-x', sessionCookieSecure: true, sessionCookiePath: '/app' }, { sessionCookieName: '__Secure-x', sessionCookieSecure: 'true', sessionCookieDomain: 'example.com' },
    { sessionCookieSamesite: 'None', sessionCookieSecure: true, sessionCookiePartitioned: true }, { sessionCookieSamesite: 'STRICT' },
    { sessionIdleTimeout: 60, sessionLifetime: '60' }, { allowedOrigins: 'https://a.example.com, http://localhost:8080,' }, { prefix: '/a/b' }
  ]
  for (const options of fine) t.doesNotThrow(() => resolveConfig({ secretKey: testKey, ...options }, 'plugin'))
  t.same(resolveConfig({ allowedOrigins: 'https://a.example.com, http://localhost:8080,' }, 'plugin').allowedOrigins, ['https://a.example.com', 'http://localhost:8080'])
})

test('Fastify accepts every value that TRUST_PROXY accepts', async (t) => {
  for (const TRUST_PROXY of ['0.0.0.0/1,192.0.0.0/2', '0.0.0.0/1,8000::/1', '::ffff:0:0/97,128.0.0.0/2', 'loopback', 'linklocal,uniquelocal', '10.0.0.7', '10.0.0.7/32', '10.0.0.7/1', '0.0.0.0', '::', '::1', '::1/128', '::1/1', '2001:DB8::/32', '::ffff:10.0.0.7', '::ffff:10.0.0.7/104',
    '::FFFF:A00:7', '1:2:3:4:5:6:10.0.0.7', '1:2:3:4:5:6:7::', 'fe80::1%eth0', 'fe80::1%ETH0', 'fe80::1%1', 'fe80::%eth0/64']) {
    const { trustProxy } = readEnvironment({ TRUST_PROXY, SECRET_KEY: testKey })
    t.doesNotThrow(() => Fastify({ trustProxy }), TRUST_PROXY)
  }
})

test('an unknown store is refused, and the password in its URL is not shown', async (t) => {
  for (const [mode, name] of [['service', 'SESSION_STORE'], ['plugin', 'sessionStore']] as const) {
    for (const sessionStore of ['postgres://harry:hunter2@db/hats', 'postgres://:hunter2@db', 'postgres://harry:no/hunter2@db', 'postgres://harry:no@hunter2@db', 'postgres://db/hats?password=hunter2', 'postgres:harry:hunter2@db']) {
      const start = (): unknown => resolveConfig({ sessionStore }, mode)
      t.throws(start, { code: 'HATCHECK_CONFIG', message: new RegExp(`^${name} must be memory:, lmdb:.*; got "postgres:.*"\\.$`) })
      t.notMatch(messageOf(start), 'hunter2')
    }
    t.throws(() => resolveConfig({ sessionStore: 'memory' }, mode), { message: new RegExp(`^${name} must be memory:, .*; got "memory"\\.$`) })
    for (const twice of ['cookie:cookie:memory:', 'cookie:flask:memory:', 'flask:cookie:lmdb:']) t.throws(() => resolveConfig({ sessionStore: twice }, mode), { message: new RegExp(`^${name} must be memory:, `) }, twice)
  }
})

test('a store or a folder that would be another one than is meant is refused', (t) => {
  const oneLine = (name: string): string => `${name} must be one URL on one line, even in a file.`
  const noAddress = (name: string): string => `${name} must have a path after lmdb:, not an address: lmdb:data is a folder here, lmdb:/data one in the root.`
  const noTilde = (name: string): string => `${name} must not have a path that begins with ~: only a shell makes a home folder of it. Write the whole path.`
  const noBytes = (name: string): string => `${name} must be UTF-8: the folder would have another name.`
  const undecodable = Buffer.from('data\xfcx', 'latin1').toString()
  for (const [options, rule] of [
    ...[`lmdb:${undecodable}`, `cookie:lmdb:./${undecodable}`].map((sessionStore) => [{ sessionStore }, noBytes] as const),
    ...[undecodable].map((dataDir) => [{ dataDir }, noBytes] as const),
    ...['lmdb:\nredis://db', 'lmdb:data\r\n# a comment', 'cookie:lmdb:\nredis://db', 'redis://db\nlmdb:'].map((sessionStore) => [{ sessionStore }, oneLine] as const),
    ...['lmdb://data', 'lmdb://', 'cookie:lmdb://data/lmdb', 'flask:lmdb://data'].map((sessionStore) => [{ sessionStore }, noAddress] as const),
    ...['lmdb:~/x', 'lmdb:~', 'lmdb:~harry/x', 'cookie:lmdb:~/x'].map((sessionStore) => [{ sessionStore }, noTilde] as const),
    ...['~/x', '~', '~harry/x'].map((dataDir) => [{ dataDir }, noTilde] as const)
  ]) {
    for (const mode of ['plugin', 'service'] as const) {
      const [option = ''] = Object.keys(options)
      t.throws(() => resolveConfig({ secretKey: testKey, ...options }, mode), { code: 'HATCHECK_CONFIG', message: rule(mode === 'plugin' ? option : variableOf(option)) }, JSON.stringify(options))
    }
  }
  for (const options of [{ sessionStore: 'lmdb:///data' }, { sessionStore: 'lmdb:./~' }, { sessionStore: 'lmdb:data~' }, { dataDir: './~/x' }, { dataDir: '//data' }]) t.doesNotThrow(() => resolveConfig(options, 'service'), JSON.stringify(options))
  const file = join(t.testdir({ store: 'lmdb:\nredis://harry:hunter2@db\n' }), 'store')
  t.throws(() => resolveConfig(readEnvironment({ SESSION_STORE_FILE: file }).options, 'service'), { message: oneLine('SESSION_STORE') })
  t.end()
})

test('a folder that is not writable is refused', async (t) => {
  const folder = t.testdir({ file: 'not a folder', twice: `${testKey}\n${testKey}\n` })
  const dataDir = join(folder, 'file', 'data')
  await t.rejects(openStorage(resolveConfig({ dataDir }, 'service'), log), { code: 'HATCHECK_CONFIG', message: /^The data folder cannot be written \(DATA_DIR, SESSION_STORE\): ENOTDIR/ })
  t.throws(() => secretsOf(resolveConfig({ dataDir }, 'service')), { code: 'HATCHECK_CONFIG', message: /^DATA_DIR cannot be written: ENOTDIR/ })
})

test('an application gets the broken rule as a rejection of register', async (t) => {
  const register = async (options: object): Promise<void> => {
    const fastify = Fastify()
    try {
      await fastify.register(hatcheck, { sessionStore: 'memory:', ...options } as unknown as HatcheckOptions)
    } finally {
      await fastify.close()
    }
  }
  await t.rejects(register({}), { code: 'HATCHECK_CONFIG', message: `secretKey is required: at least 32 random bytes. ${GOOD_ONE}` })
  await t.rejects(register({ secretKey: testKey, sessionTimeout: 60 }), { message: 'sessionTimeout is not an option of hatcheck.' })
  await t.rejects(register({ secretKey: testKey, secret: testKey }), { message: 'secret is not an option of hatcheck. Did you mean secretKey, secretKeyFile or secretKeyFallbacks?' })
  await t.rejects(register({ secretKey: testKey, sessionCookieSamesite: 'none' }), { message: `sessionCookieSamesite=none needs sessionCookieSecure=true: ${DROPPED}` })
  await t.resolves(register({ secretKey: testKey }))
})

test('X-Forwarded-Proto of a trusted proxy makes the cookie Secure; that of any other client is ignored', async (t) => {
  const proxied = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'hatcheck.example.com' }
  const cookie = async (TRUST_PROXY: string): Promise<unknown> => {
    const client = new Client(await buildFrom(t, { TRUST_PROXY, SECRET_KEY: testKey, SIGNUP: 'open' }))
    return sessionCookieOf(await client.post('/login', { client_name: 'Harry', password: 'correct horse battery' }, proxied))
  }
  for (const trusted of ['127.0.0.1', 'loopback', '127.0.0.0/8, 10.0.0.7']) t.match(await cookie(trusted), /^__Host-hatcheck=\S+; Path=\/; HttpOnly; Secure; SameSite=Lax$/i)
  for (const other of ['10.0.0.7', '192.0.2.0/24']) t.equal(await cookie(other), undefined, 'nor does it get a cookie without Secure')
})

/** `secretKey` → `SECRET_KEY` */
function variableOf (option: string): string {
  return option.replace(/[A-Z]/g, '_$&').toUpperCase()
}

test('a login or a logout that would lead to itself forever is refused', (t) => {
  for (const [options, message] of [
    [{ routes: true, afterLogin: '/login' }, 'afterLogin must not be the login page: it would redirect to itself forever.'],
    [{ routes: true, prefix: '/auth', afterLogout: '/auth/logout' }, 'afterLogout must not be /auth/logout: it would redirect to itself forever.']
  ] as const) t.throws(() => resolveConfig({ secretKey: testKey, ...options }, 'plugin'), { code: 'HATCHECK_CONFIG', message })
  for (const [AFTER_LOGIN, AFTER_LOGOUT, message] of [
    ...['/login?x=1', '/login#x', '/./login', '/%6cogin', '/x/../login', '/x/%2e%2E/login'].map((place) =>
      [place, '', 'AFTER_LOGIN must not be the login page: it would redirect to itself forever.'] as const),
    ...['/logout', '/logout?x', '/x/../logout'].map((place) =>
      [place, '', 'AFTER_LOGIN must not be /logout: it would log out every user who logs in.'] as const),
    ...['/logout#bye', '/logout?x', '/./logout', '/log%6Fut'].map((place) =>
      ['', place, 'AFTER_LOGOUT must not be /logout: it would redirect to itself forever.'] as const)
  ]) t.throws(() => resolveConfig(readEnvironment({ AFTER_LOGIN, AFTER_LOGOUT }).options, 'service'), { code: 'HATCHECK_CONFIG', message }, AFTER_LOGIN + AFTER_LOGOUT)
  for (const afterLogin of ['/login/start', '/start?next=/login', '/login%2F', '/%zz', 'https://app.example.com/login']) t.doesNotThrow(() => resolveConfig({ afterLogin, afterLogout: '/login' }, 'service'), afterLogin)
  t.throws(() => resolveConfig({ secretKey: testKey, routes: true, prefix: '/café', afterLogin: '/caf%C3%A9/login' }, 'plugin'), { code: 'HATCHECK_CONFIG', message: /must not be the login page/ })
  t.doesNotThrow(() => resolveConfig({ secretKey: testKey, routes: ['login'], afterLogin: '/logout', afterLogout: '/login' }, 'plugin'))
  t.end()
})

test('a cookie path that does not cover the pages of hatcheck is a warning at the start', async (t) => {
  const paths: Array<[options: GivenOptions, scope: string, path: string, warns: boolean]> = [
    [{ routes: true, prefix: '/auth' }, '', '/auth', false],
    [{ routes: true, prefix: '/auth' }, '', '/auth/', false],
    [{ routes: true, prefix: '/auth' }, '', '/', false],
    [{ routes: true, prefix: '/auth' }, '', '/au', true],
    [{ routes: true, prefix: '/auth' }, '', '/auth/login', true],
    [{ routes: ['logout'] }, '/shop', '/shop', false],
    [{ routes: true }, '/café', '/caf%C3%A9', false],
    [{ routes: true }, '/shop', '/office', true],
    [{ routes: ['verify'] }, '', '/app', false],
    [{}, '', '/app', false]
  ]
  for (const [options, prefix, sessionCookiePath, warns] of paths) {
    const log: string[] = []
    const app = newFastify(t, logInto(log, 'warn'))
    app.register(async (scope) => { await scope.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', authenticate: async (name) => ({ name }), sessionCookiePath, ...options } as HatcheckOptions) }, { prefix })
    await app.ready()
    t.equal(log.some((line) => line.includes(`session cookie, ${sessionCookiePath}, does not cover the pages`)), warns, `${JSON.stringify(options)} in ${prefix}: ${sessionCookiePath}`)
  }
})
