import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import { hatcheck, type HatcheckOptions } from '../app.js'
import { loadDotEnv } from '../plugins/config/dot-env.js'
import { readEnvironment } from '../plugins/config/environment.js'
import { isLoopback } from '../plugins/common/loopback.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { resolveConfig } from '../plugins/config/resolve.js'
import type { Mode } from '../plugins/config/mode.js'
import { secretsOf } from '../plugins/tickets/secrets.js'
import { openStorage } from '../plugins/storage/open.js'
import { Client, logIn, userOf } from './client.js'
import { fixture, preloading } from './fixtures/child.js'
import { build, newFastify, sessionCookieOf, testKey } from './helper.js'
import { logInto } from './log-lines.js'
import { until } from './loop-clock.js'
import { exchange } from './raw-client.js'
import { hatcheckProcess, runServer, startService } from './service.js'

const otherKey = testKey.split('').reverse().join('')
const GOOD_ONE = '"npx hatcheck secret" prints a good one.'
/** A rule in the words of its reader: options for an application, variables for the service. */
type Rule = (name: (option: string) => string) => string

const log = { info () {}, warn () {} }

const DROPPED = 'browsers drop such a cookie.'

test('an invalid environment variable stops the start, with its rule as the message', async (t) => {
  const rules: Array<[Record<string, string>, string]> = [
    ...['abc', '3.5', '1e3', '0x10', '0b1', '+80', '3_000', '3 000', '３０００', '-', '80,81', 'Infinity'].map((PORT): [Record<string, string>, string] =>
      [{ PORT }, `PORT must be an integer; got "${PORT}".`]),
    [{ PORT: '-1' }, 'PORT must be at least 0; got "-1".'],
    [{ PORT: '65536' }, 'PORT must be at most 65535; got "65536".'],
    [{ PORT: '9'.repeat(20) }, 'PORT must be at most 65535; got "99999999999999999999".'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent; got "loud".'],
    [{ REQUEST_LOG: 'no' }, 'REQUEST_LOG must be one of on, off; got "no".'],
    [{ AUDIT_LOG: 'info' }, 'AUDIT_LOG must be one of on, off; got "info".'],
    [{ TRUST_PROXY: 'true' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "true".'],
    [{ TRUST_PROXY: '1' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "1".'],
    [{ TRUST_PROXY: '10.0.0.7, proxy.example.com' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "proxy.example.com".'],
    ...['10.0.0.0/8/9', '10.0.0.0/', '10.0.0.0/255.0.0.0', '10.0.0.0/1e1', '10.1', '::1/129', '[::1]', 'Loopback', 'fe80::1%br-lan', 'fe80::1%eth0.100', 'fe80::%br-lan/64'].map((range): [Record<string, string>, string] =>
      [{ TRUST_PROXY: range }, `TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "${range}".`]),
    [{ TRUST_PROXY: '10.0.0.0/33' }, 'TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "10.0.0.0/33".'],
    ...['0.0.0.0/0', '::/0', '0.0.0.0/00', '::ffff:0:0/0', '::ffff:0:0/96', '::ffff:10.0.0.7/96', '0.0.0.0/1,128.0.0.0/1', '0.0.0.0/1,10.0.0.0/8,128.0.0.0/1', '128.0.0.0/1, loopback, ::ffff:0.0.0.0/97', '192.0.0.0/2,10.0.0.0/1,128.0.0.0/2', '::/1,8000::/1', '::/2,4000::/2,8000::/2,c000::/2'].map((TRUST_PROXY): [Record<string, string>, string] =>
      [{ TRUST_PROXY }, 'TRUST_PROXY must not cover every address, or any client could forge its own: name the addresses of the proxies.']),
    ...['0.0.0.0', '::', '192.0.2.1', 'hatcheck.example.com', 'localhost.example.com'].map((HOST): [Record<string, string>, string] =>
      [{ HOST }, `HOST=${HOST} can be reached from other machines, so SECRET_KEY (or SECRET_KEY_FILE) must be set. ${GOOD_ONE}`]),
    ...['127.0.0.1:3000', 'localhost:3000', '[::1]:3000', 'http://127.0.0.1', '127.1', '127.0.0.256', '1', '/tmp/x.sock', 'bob@127.0.0.1', 'a b', '[127.0.0.1]'].map((HOST): [Record<string, string>, string] =>
      [{ HOST, SECRET_KEY: testKey }, `HOST must be an address or a host name, without a port; got "${HOST}".`]),
    [{ METRICS_PORT: '70000' }, 'METRICS_PORT must be at most 65535; got "70000".'],
    [{ WORKERS: '0' }, 'WORKERS must be at least 1; got "0".'],
    [{ WORKERS: '65' }, 'WORKERS must be at most 64; got "65".'],
    [{ WORKERS: 'auto' }, 'WORKERS must be an integer number of processes; got "auto".'],
    ...['memory:', 'cookie:memory:', 'flask:memory:'].map((SESSION_STORE): [Record<string, string>, string] =>
      [{ WORKERS: '2', SESSION_STORE }, 'WORKERS must be 1 with SESSION_STORE=memory:, or each process would have its own sessions.']),
    [{ METRICS_PORT: '3000' }, 'METRICS_PORT must be another port than PORT, so that users cannot read the metrics. Both are 3000.'],
    [{ HOST: '0.0.0.0', SECRET_KEY: '  ', SIGNUP: 'closed' }, `HOST=0.0.0.0 can be reached from other machines, so SECRET_KEY (or SECRET_KEY_FILE) must be set. ${GOOD_ONE}`]
  ]
  for (const [env, rule] of rules) t.throws(() => readEnvironment(env), { code: 'HATCHECK_CONFIG', message: rule })
})

test('an empty environment and one with every variable can be read', async (t) => {
  t.same(readEnvironment({}), { host: '127.0.0.1', port: 3000, workers: 1, logLevel: 'info', requestLog: true, auditLog: true, trustProxy: false, mode: 'demo', options: {} })
  for (const [HOST, host] of [['[::1]', '::1'], ['::1', '::1'], ['[::]', '::'], ['fe80::1%eth0', 'fe80::1%eth0'], ['localhost', 'localhost'], ['db_1.example', 'db_1.example'], ['bücher.example.', 'bücher.example.']]) t.equal(readEnvironment({ HOST, SECRET_KEY: testKey }).host, host)
  t.match(readEnvironment({ LOG_LEVEL: 'warn', REQUEST_LOG: 'off' }), { requestLog: false, auditLog: true })
  t.match(readEnvironment({ LOG_LEVEL: 'silent' }), { auditLog: false })
  t.match(readEnvironment({ LOG_LEVEL: 'silent', AUDIT_LOG: 'on' }), { auditLog: true })
  t.match(readEnvironment({ AUDIT_LOG: 'off' }), { auditLog: false })
  for (const env of [{ WORKERS: '64' }, { WORKERS: '1', SESSION_STORE: 'memory:' }]) t.equal(readEnvironment(env).workers, Number(env.WORKERS))
  t.match(readEnvironment({ PORT: '0', METRICS_PORT: '0' }), { port: 0, metricsPort: 0 }, 'any two')
  t.match(readEnvironment({ PORT: '0080', SESSION_LIFETIME: '7200' }), { port: 80 })
  t.same(readEnvironment({ HOST: '', PORT: ' ', SECRET_KEY: '' }), readEnvironment({}), 'an empty variable counts as not set')
  t.same(readEnvironment({ PREFIX: '/usr/local', ROUTES: 'login', LOGIN_PATH: '/sign-in', DECORATORS: 'none' }), readEnvironment({}), 'an option of the plugin is none of the service')
  t.match(readEnvironment({
    HOST: '0.0.0.0', PORT: '8080', LOG_LEVEL: 'warn', TRUST_PROXY: '10.0.0.7, fd00::/8,loopback', SECRET_KEY: ` ${testKey} `, SESSION_COOKIE_SAMESITE: 'Strict', PASSWORD_MIN_LENGTH: '20', SESSIONS_PER_USER: '5'
  }), {
    host: '0.0.0.0',
    port: 8080,
    logLevel: 'warn',
    trustProxy: ['10.0.0.7', 'fd00::/8', 'loopback'],
    mode: 'service',
    options: { secretKey: testKey, sessionCookieSecure: 'true', sessionCookieSamesite: 'Strict', passwordMinLength: '20', sessionsPerUser: '5' }
  })
})

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
    [{ sessionStore: { sync: true, read () {}, create () {} } }, (name) => `${name('sessionStore')} must keep the contract of SessionStore; the method patch is missing.`],
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

test('the service says in one line what is wrong and ends with exit code 1', async (t) => {
  const folder = t.testdir({ file: 'not a folder', twice: `${testKey}\n${testKey}\n` })
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => { taken.close() })
  const { port } = taken.address() as AddressInfo
  const cases: Array<[Record<string, string>, RegExp]> = [
    [{ SECRET_KEY: 'hunter2' }, /SECRET_KEY must be at least 32 bytes long, but is 7\. "npx hatcheck secret" prints a good one\./],
    [{ DATA_DIR: 'file/data' }, /The data folder cannot be written \(DATA_DIR, SESSION_STORE\): ENOTDIR.*/],
    [{ PORT: String(port) }, /HOST must be an address of this machine, and PORT a free port that this user can open: listen EADDRINUSE: address already in use 127\.0\.0\.1:\d+\./],
    [{ HOST: '203.0.113.5', SECRET_KEY: testKey }, /HOST must be an address of this machine, and PORT a free port that this user can open: listen EADDRNOTAVAIL: address not available 203\.0\.113\.5\./],
    [{ HOST: '203.0.113.5', METRICS_PORT: '0', SECRET_KEY: testKey }, /HOST must be an address of this machine, and METRICS_PORT a free port that this user can open: listen EADDRNOTAVAIL: address not available 203\.0\.113\.5\./],
    [{ HOST: 'nowhere.invalid', SECRET_KEY: testKey }, /HOST must be an address or a name of this machine: getaddrinfo E\w+ nowhere\.invalid\./],
    [{ SECRET_KEY_FILE: 'twice' }, /The keys in twice and SECRET_KEY_FALLBACKS must all be different\./],
    [{ SESSION_COOKIE_NAME: '__Host-x', SESSION_COOKIE_DOMAIN: 'example.com', SESSION_COOKIE_SECURE: 'true' }, /SESSION_COOKIE_NAME begins with __Host-, so SESSION_COOKIE_DOMAIN must not be set: browsers drop such a cookie\./]
  ]
  await Promise.all(cases.map(async ([env, rule]) => {
    const { code, stdout, stderr } = await runServer(folder, env)
    t.match(stderr, new RegExp(`^hatcheck: ${rule.source}\n$`))
    t.equal(code, 1)
    t.notMatch(stdout + stderr, 'hunter2')
    t.notMatch(stdout + stderr, /^\s+at /m, 'no stack')
    t.notMatch(stdout, 'listens at')
  }))
  // These are the same error, without a process of its own.
  const others: Array<[Record<string, string>, RegExp]> = [
    [{ SESSION_STORE: 'postgres://harry:hunter2@db' }, /^SESSION_STORE must be memory:, .*/],
    [{ SESSION_STORE: 'redis://:hunter2@' }, /^SESSION_STORE must be redis:\/\/\[user:password@\]host\[:port\]\[\/database\], with rediss for TLS\. .*/],
    [{ SESSION_LIFETIME: '60', SESSION_IDLE_TIMEOUT: '61' }, /^SESSION_IDLE_TIMEOUT must not be longer than SESSION_LIFETIME\.$/]
  ]
  for (const [env, rule] of others) {
    const error = await buildFrom(t, env).then(() => { throw new Error('it has started') }, (error: Error) => error)
    t.match(error, { code: 'HATCHECK_CONFIG', message: rule })
    t.notMatch(error.message, 'hunter2')
  }
})

test('the file .env is read, and the environment overrides it', async (t) => {
  const folder = t.testdir({ '.env': `PORT=1\nSESSION_STORE=memory:\nSECRET_KEY="${testKey}"\n# a comment\nSIGNUP=closed\n` })
  const service = await startService(t, folder, { SIGNUP: 'open' })
  t.not(new URL(service.url).port, '1')
  t.match(service.output(), 'store: memory:')
  t.match(service.output(), 'mode: service; signup is open')
  t.notOk(readdirSync(folder).includes('data'), 'memory: leaves nothing on the disk')
  t.match(await runServer(t.testdir({ '.env': 'SECRET_KEY=short\n' })), { code: 1, stderr: /^hatcheck: SECRET_KEY must be at least 32 bytes long, but is 5\./ })
})

test('the file .env can have a byte order mark, any line breaks, comments and values of several lines', async (t) => {
  const folder = t.testdir()
  const read = (content: string): Record<string, string> => {
    writeFileSync(join(folder, '.env'), content)
    const env = { SET: 'before' }
    loadDotEnv(env, join(folder, '.env'))
    return env
  }
  const A = { SET: 'before', A: '1' }
  for (const content of ['A=1', '\uFEFFA=1\n', 'export A=1', 'export\t A = 1 # one\n', 'A\t=\t1', 'A\t=\t"1"\t# one', 'A="1" # one', "A='1'\n", 'A=`1`', 'A=2\nA=1', 'SET=after\r\nA=1\r\n', '#\r \t\rA=1\r', ' \t\n\n  # B=2\n\t#\n  A=1', '__proto__=1\nA=1']) {
    t.match(read(content), A, JSON.stringify(content))
  }
  t.match(read('A=\t"1 # 2"\nB =\t\nC\t=3'), { A: '1 # 2', B: '', C: '3' })
  t.match(read('A="1\n# 2\nB: 3"\nC=4'), { A: '1\n# 2\nB: 3', C: '4' })
  t.match(read('A="1\nB=2\nC=\nD=a=b#c'), { A: '"1', B: '2', C: '', D: 'a=b' }, 'a quote that is not closed is a part of the value')
  t.same(read(''), { SET: 'before' })
})

test('a file .env that cannot be read as its author means it ends the start with one line', async (t) => {
  const rule = (line: number): string => `Line ${line} of .env must be NAME=value, a comment or blank, with nothing but a comment after a quoted value.`
  const flaws: Array<[content: string | Buffer, message: string]> = [
    ['SECRET_KEY: hunter2', rule(1)],
    ['PORT=0\r\n\r\nSECRET_KEY hunter2\r\nSIGNUP=closed', rule(3)],
    ['A="1\n2"\n=hunter2', rule(3)],
    ['SECRET KEY=hunter2', rule(1)],
    ['set SECRET_KEY=hunter2', rule(1)],
    ['# x\nSECRET_KEY="hunter2\nSIGNUP="closed"', rule(2)],
    [Buffer.from('# für\nPAGE_TITLE=für', 'latin1'), 'Line 2 of .env must be text in UTF-8, but has other bytes. Save the file as UTF-8.'],
    [Buffer.from('\uFEFFSECRET_KEY=hunter2', 'utf16le'), '.env must be text in UTF-8, but has NUL bytes, as UTF-16 has. Save it as UTF-8.'],
    [Buffer.from('SECRET_KEY=hunter2\n', 'utf16le').swap16(), '.env must be text in UTF-8, but has NUL bytes, as UTF-16 has. Save it as UTF-8.']
  ]
  const folder = t.testdir()
  const file = join(folder, '.env')
  for (const [content, message] of flaws) {
    writeFileSync(file, content)
    t.throws(() => { loadDotEnv({}, file) }, { code: 'HATCHECK_CONFIG', message })
  }
  t.strictSame(await runServer(folder), { code: 1, stdout: '', stderr: `hatcheck: ${flaws.at(-1)?.[1] ?? ''}\n` })
  unlinkSync(file)
  symlinkSync(join(folder, 'nowhere'), file)
  t.match(await runServer(folder), { code: 1, stdout: '', stderr: /^hatcheck: \.env cannot be read: ENOENT[^\n]*\n$/ })
  t.match(await hatcheckProcess(folder, ['user', 'list']), { code: 1, stdout: '', stderr: /^hatcheck: \.env cannot be read: ENOENT[^\n]*\n$/ })
  unlinkSync(file)
  mkdirSync(file)
  t.match(await runServer(folder), { code: 1, stdout: '', stderr: /^hatcheck: \.env cannot be read: [^\n]* is not a regular file[^\n]*\n$/ })
})

test('a file of settings that is not a regular file, or is too large, ends the start with one line', async (t) => {
  const folder = t.testdir({ large: `${testKey}\n`.repeat(20_000), '.env': t.fixture('symlink', 'pipe') })
  execFileSync('mkfifo', [join(folder, 'pipe')])
  const flaw = (variable: string, file: string): object =>
    ({ code: 1, stderr: `hatcheck: ${variable} cannot be read: ${file} is not a regular file of at most 1 MiB.\n` })
  t.match(await runServer(folder), flaw('.env', '.env'))
  unlinkSync(join(folder, '.env'))
  for (const variable of ['SECRET_KEY_FILE', 'SESSION_STORE_FILE']) {
    for (const file of ['pipe', 'large', '.']) t.match(await runServer(folder, { [variable]: file }), flaw(variable, file))
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

test('an IPv6 address can be in brackets, as in a URL', async (t) => {
  const { url } = await startService(t, t.testdir(), { HOST: '[::1]', SESSION_STORE: 'memory:' })
  t.match(url, /^http:\/\/\[::1\]:\d+$/)
  t.equal((await fetch(url)).status, 200)
})

test('HOST=localhost is one address, and all limits and answers of the service hold there', async (t) => {
  const with2 = { HOST: 'localhost', LOCALHOST: '::1,127.0.0.1', NODE_OPTIONS: preloading(fixture('localhost.js')), SESSION_STORE: 'memory:' }
  const { url, output, end } = await startService(t, t.testdir(), { ...with2, METRICS_PORT: '0' })
  await until('it has started', () => output().includes('metrics at'))
  t.strictSame([...output().matchAll(/(?:listens|metrics) at http:\/\/([^"]+):\d+/g)].map(([, address]) => address), ['127.0.0.1', '127.0.0.1'])
  const { port } = new URL(url)
  await t.rejects(once(connect(Number(port), '::1'), 'connect'), { code: 'ECONNREFUSED' })
  t.strictSame((await exchange(Number(port), 'no request\r\n\r\n')).answers.map(({ body }) => JSON.parse(body).code), ['HATCHECK_BAD_REQUEST'])
  const taken = await runServer(t.testdir(), { ...with2, PORT: port })
  t.match([taken.code, taken.stderr], [1, 'EADDRINUSE'], 'a port that another program has there is an error')
  t.equal(await end(), 0)
  t.match(await startService(t, t.testdir(), { ...with2, LOCALHOST: '::1' }), { url: /^http:\/\/\[::1\]:/ }, 'without IPv4')
})

test('services that start simultaneously in an empty folder agree on one key', async (t) => {
  const folder = t.testdir()
  const services = await Promise.all([1, 2, 3].map(async () => await startService(t, folder)))
  const cookie = await logIn(services[0]?.url ?? '')
  for (const { url } of services) t.equal(await userOf(url, cookie), 'Harry')
  t.same(readdirSync(join(folder, 'data')).sort(), ['.gitignore', 'lmdb', 'secret.key'], 'no temporary key file is left')
})

test('demo mode is on only for loopback, and only without settings that imply a deployment', async (t) => {
  for (const HOST of ['127.0.0.1', '127.0.0.2', 'localhost', 'LOCALHOST', 'app.localhost', '::1', '[::1]']) {
    t.ok(isLoopback(HOST), HOST)
    if (isLoopback(HOST)) t.equal(readEnvironment({ HOST }).mode, 'demo', HOST)
  }
  for (const [variable, value] of [['SECRET_KEY', testKey], ['SECRET_KEY_FILE', 'key'], ['TRUST_PROXY', '127.0.0.1'], ['SIGNUP', 'open'], ['SIGNUP', 'closed']] as const) {
    t.equal(readEnvironment({ [variable]: value }).mode, 'service', variable)
    t.equal(readEnvironment({ HOST: 'localhost', [variable]: value }).mode, 'service', variable)
  }
  t.equal(readEnvironment({ DATA_DIR: 'x', PORT: '0', SESSION_STORE: 'memory:', LOG_LEVEL: 'warn' }).mode, 'demo')
  t.equal(readEnvironment({ HOST: '0.0.0.0', SECRET_KEY: testKey }).mode, 'service')
  for (const host of ['0.0.0.0', '::', '192.0.2.1', '127.0.0.1.example.com', 'localhost.example.com', 'notlocalhost', '127.1', '', '::2']) t.notOk(isLoopback(host), host)

  t.match(resolveConfig({}, 'demo'), { signup: 'open', passwordMinLength: 8 })
  t.match(resolveConfig({}, 'service'), { signup: 'closed', passwordMinLength: 15 })
  t.match(resolveConfig({ passwordMinLength: 20 }, 'demo'), { signup: 'open', passwordMinLength: 20 })
})

test('demo mode answers only this machine, and service mode has no such guard', async (t) => {
  const demo = await build(t)
  const service = await build(t, { mode: 'service' })
  const statusOf = async (fastify: typeof demo, headers: Record<string, string>, method: 'GET' | 'POST' = 'GET'): Promise<number> =>
    (await fastify.inject({ method, url: method === 'GET' ? '/' : '/logout', headers })).statusCode
  for (const host of ['127.0.0.1:3000', 'localhost', 'LOCALHOST:3000', 'app.localhost:3000', '[::1]:3000']) t.equal(await statusOf(demo, { host }), 200, host)
  for (const host of ['hatcheck.example.com', '192.0.2.1:3000', '127.0.0.1.example.com', 'localhost.example.com:3000', '0.0.0.0:3000', '[::2]:3000']) {
    t.equal(await statusOf(demo, { host }), 403, host)
    t.equal(await statusOf(demo, { host }, 'POST'), 403, host)
    t.equal(await statusOf(service, { host }), 200, host)
  }
  for (const header of ['forwarded', 'via', 'x-real-ip', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'X-Forwarded-Prefix']) {
    const headers = { host: 'localhost:3000', [header]: 'localhost' }
    t.equal(await statusOf(demo, headers), 403, header)
    t.equal(await statusOf(demo, headers, 'POST'), 403, header)
    t.equal(await statusOf(service, headers), 200, header)
  }
  const refused = await new Client(demo).post('/login', { client_name: 'Harry', password: '12345678' }, { 'x-forwarded-for': '127.0.0.1' })
  t.match(refused.json(), { status: 403, code: 'HATCHECK_DEMO_MODE' })
  t.equal(refused.headers['set-cookie'], undefined)
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

test('beyond loopback the cookie is Secure, and a login over http is refused with the reason', async (t) => {
  const client = new Client(await buildFrom(t, { HOST: '0.0.0.0', SECRET_KEY: testKey, SIGNUP: 'open', TRUST_PROXY: '127.0.0.1' }))
  const plain = await client.login()
  t.equal(plain.statusCode, 400)
  t.match(plain.json(), { code: 'HATCHECK_INSECURE_TRANSPORT', detail: /https.*TRUST_PROXY.*SESSION_COOKIE_SECURE=false/ })
  t.equal(plain.headers['set-cookie'], undefined)
  const secure = await client.post('/login', { client_name: 'Harry', password: 'correct horse battery' }, { 'x-forwarded-proto': 'https' })
  t.equal(secure.statusCode, 303)
  t.match(sessionCookieOf(secure), /^__Host-hatcheck=/)

  const insecure = new Client(await buildFrom(t, { HOST: '0.0.0.0', SECRET_KEY: testKey, SIGNUP: 'open', SESSION_COOKIE_SECURE: 'false' }))
  t.match(sessionCookieOf(await insecure.login('Harry', 'correct horse battery')), /^hatcheck=\S+; Path=\/; HttpOnly; SameSite=Lax$/i)
})

/** The configuration that server.ts reads from an environment, on the memory store. */
function buildFrom (t: Test, env: Record<string, string>): ReturnType<typeof build> {
  const { mode, options, trustProxy } = readEnvironment(env)
  return build(t, { ...options, mode }, { trustProxy })
}

/** `secretKey` → `SECRET_KEY` */
function variableOf (option: string): string {
  return option.replace(/[A-Z]/g, '_$&').toUpperCase()
}

function messageOf (action: () => unknown): string {
  try {
    action()
    return ''
  } catch (error) {
    return (error as Error).message
  }
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

test('the URL of the store can come from a file', (t) => {
  const folder = t.testdir({ store: ' memory:\n', empty: '\n' })
  const file = (name: string): string => join(folder, name)
  t.equal(readEnvironment({ SESSION_STORE_FILE: file('store') }).options.sessionStore, 'memory:')
  for (const [env, message] of [
    [{ SESSION_STORE_FILE: file('store'), SESSION_STORE: 'lmdb:' }, /^SESSION_STORE and SESSION_STORE_FILE are both set: set one of them\.$/],
    [{ SESSION_STORE_FILE: file('store'), WORKERS: '2' }, /^WORKERS must be 1 with SESSION_STORE=memory:/],
    [{ SESSION_STORE_FILE: file('empty') }, /^SESSION_STORE_FILE must name a file with the URL of a store, but .*empty is empty\.$/],
    [{ SESSION_STORE_FILE: file('missing') }, /^SESSION_STORE_FILE cannot be read: ENOENT/]
  ] as const) t.throws(() => readEnvironment(env), { code: 'HATCHECK_CONFIG', message })
  t.end()
})
