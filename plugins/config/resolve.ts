import { createError } from '@fastify/error'
import { envSchema } from 'env-schema'
import { resolve } from 'node:path'
import { steadyClock, type Lifetimes } from '../common/clock.js'
import { isRealm, realmOfCookie } from '../common/realm.js'
import type { SessionStore } from '../session/store.js'
import type { HatcheckOptions } from './options.js'

/** A configuration that cannot work. The text is the rule. */
export const ConfigError = createError<[string]>('HATCHECK_CONFIG', '%s', 500)

/** How hatcheck runs: in a host application, or as a service, perhaps in demo mode. */
export type Mode = 'plugin' | 'service' | 'demo'

/** The options with every default in place, each of one type. */
export type Config = ReturnType<typeof resolveConfig>

const LONGEST_SECONDS = 400 * 86_400
const seconds = { type: 'integer', minimum: 1, maximum: LONGEST_SECONDS } as const

const WHOLE_NUMBER = 'must be a whole number in plain digits'

/** The plain options: their types, limits and defaults. */
const properties = {
  secretKeyFile: { type: 'string' },
  dataDir: { type: 'string', default: './data' },
  realm: { type: 'string' },
  sessionCookieName: { type: 'string', pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$" },
  sessionCookieDomain: { type: 'string', pattern: '^\\.?[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?$' },
  sessionCookiePath: { type: 'string', pattern: '^/[!-:<-~]*$', default: '/' },
  sessionCookieSecure: { type: 'string', enum: ['true', 'false', 'auto'] },
  sessionCookieSamesite: { type: 'string', enum: ['lax', 'strict', 'none'], default: 'lax' },
  sessionCookiePartitioned: { type: 'boolean', default: false },
  sessionIdleTimeout: { ...seconds, default: 3_600 },
  sessionLifetime: { ...seconds, default: 86_400 },
  permanentSessionIdleTimeout: { ...seconds, default: 1_209_600 },
  permanentSessionLifetime: { ...seconds, default: 2_592_000 },
  sessionMaxBytes: { type: 'integer', minimum: 256, maximum: 1_048_576, default: 16_384 },
  sessionsPerUser: { type: 'integer', minimum: 1, maximum: 10_000, default: 100 },
  signup: { type: 'string', enum: ['open', 'closed'] },
  passwordMinLength: { type: 'integer', minimum: 8, maximum: 256 },
  routes: { type: 'boolean', default: false },
  prefix: { type: 'string', pattern: '^(/[^/?#\\s]+)*$', default: '' }
} as const

/** The options that can be more than text, but may be text. */
const TEXT_OR_MORE = ['secretKey', 'secretKeyFallbacks', 'sessionStore', 'allowedOrigins']
const STORE_METHODS = ['read', 'create', 'patch', 'take', 'touch', 'remove', 'replace', 'ofUser', 'removeOfUser', 'count', 'sweep', 'ping', 'close'] satisfies Array<keyof SessionStore>
/** The options that only code can give. */
const CODE_ONLY = ['authenticate', 'now']
/** The options that the environment can give; where and whether there are pages is the service's own business. */
export const PLAIN_OPTIONS = [...Object.keys(properties), ...TEXT_OR_MORE].filter((option) => option !== 'routes' && option !== 'prefix')

/**
 * Checks the options and puts the defaults in.
 *
 * @throws ConfigError with the rule that is broken.
 */
export function resolveConfig (options: HatcheckOptions, mode: Mode) {
  const name = (option: string): string => mode === 'plugin' ? option : environmentName(option)
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  for (const option of Object.keys(given)) {
    assertRule(Object.hasOwn(properties, option) || TEXT_OR_MORE.includes(option) || CODE_ONLY.includes(option), `${option} is not an option of hatcheck.`)
  }
  const values = validate<typeof properties>(properties, given, name)
  const config = {
    ...values,
    mode,
    dataDir: resolve(values.dataDir),
    secretKey: options.secretKey,
    secretKeyFallbacks: listOf(options.secretKeyFallbacks, name('secretKeyFallbacks')),
    sessionStore: options.sessionStore ?? 'lmdb:',
    realm: values.realm ?? realmOfCookie(values.sessionCookieName),
    sessionCookieSecure: values.sessionCookieSecure ?? ('local' as const),
    signup: values.signup ?? (mode === 'demo' ? 'open' as const : 'closed' as const),
    passwordMinLength: values.passwordMinLength ?? (mode === 'demo' ? 8 : 15),
    commonPasswords: mode === 'demo' ? 'allowed' as const : 'refused' as const,
    allowedOrigins: listOf(options.allowedOrigins, name('allowedOrigins')).map(String),
    authenticate: options.authenticate,
    now: options.now ?? steadyClock(),
    lifetimes: {
      browser: { idleSeconds: values.sessionIdleTimeout, lifetimeSeconds: values.sessionLifetime },
      permanent: { idleSeconds: values.permanentSessionIdleTimeout, lifetimeSeconds: values.permanentSessionLifetime }
    } satisfies Lifetimes
  }
  assertStore(config.sessionStore, name('sessionStore'))
  assertRule(values.realm === undefined || isRealm(values.realm),
    `${name('realm')} must be 1 to 64 letters, digits, dots, underscores or hyphens (A-Z a-z 0-9 . _ -); got ${JSON.stringify(values.realm)}.`)
  assertCookie(config, name)
  assertRule(config.sessionIdleTimeout <= config.sessionLifetime,
    `${name('sessionIdleTimeout')} must not be longer than ${name('sessionLifetime')}.`)
  assertRule(config.permanentSessionIdleTimeout <= config.permanentSessionLifetime,
    `${name('permanentSessionIdleTimeout')} must not be longer than ${name('permanentSessionLifetime')}.`)
  assertRule(config.authenticate === undefined || options.signup === undefined,
    `${name('signup')} has no meaning beside authenticate: hatcheck keeps no accounts then.`)
  for (const origin of config.allowedOrigins) {
    assertRule(URL.canParse(origin) && new URL(origin).origin === origin,
      `${name('allowedOrigins')} must be origins such as https://app.example.com, without a path; got "${origin}".`)
  }
  return config
}

/** The values by a schema, with the first flaw as a readable rule. */
export function validate<P extends Record<string, object>> (properties: P, data: object, name: (option: string) => string): ValuesOf<P> {
  const plain = Object.fromEntries(Object.entries(data)
    .filter(([option]) => option in properties)
    .map(([option, value]) => [option, typeof value === 'boolean' ? String(value) : value])
    // Flask writes Lax, and so do people.
    .map(([option, value]) => [option, option === 'sessionCookieSamesite' ? String(value).toLowerCase() : value]))
  for (const [option, value] of Object.entries(plain)) {
    // By the schema alone 1e3 and 0x10 would be whole numbers as well.
    const isInteger = (properties[option] as { type?: string }).type === 'integer'
    assertRule(!isInteger || typeof value !== 'string' || /^-?\d+$/.test(value), `${name(option)} ${WHOLE_NUMBER}; got ${JSON.stringify(value)}.`)
  }
  try {
    return envSchema({ schema: { type: 'object', properties: structuredClone(properties) }, data: plain, env: false }) as ValuesOf<P>
  } catch (error) {
    const [flaw] = (error as { errors?: Flaw[] }).errors ?? []
    if (flaw === undefined) throw error
    const option = flaw.instancePath.slice(1)
    throw new ConfigError(`${name(option)} ${ruleOf(flaw)}; got ${JSON.stringify(plain[option])}.`)
  }
}

/** `secretKey` → `SECRET_KEY` */
export function environmentName (option: string): string {
  return option.replace(/[A-Z]/g, '_$&').toUpperCase()
}

export function assertRule (holds: boolean, rule: string): asserts holds {
  if (!holds) throw new ConfigError(rule)
}

/** A list, or text with its parts separated by commas. */
function listOf<T> (value: string | readonly T[] | undefined, name: string): Array<T | string> {
  if (value === undefined) return []
  assertRule(typeof value === 'string' || Array.isArray(value), `${name} must be a list, or text with commas between the parts.`)
  return typeof value === 'string' ? value.split(',').map((part) => part.trim()).filter((part) => part !== '') : [...value]
}

/** A store without one of its methods would look, when that is called, like a store that has failed. */
function assertStore (store: unknown, name: string): void {
  if (typeof store === 'string') return
  assertRule(typeof store === 'object' && store !== null, `${name} must be a url or a session store, not ${typeof store}.`)
  for (const method of STORE_METHODS) {
    assertRule(typeof Reflect.get(store, method) === 'function', `${name} must keep the contract of SessionStore; it has no method ${method}.`)
  }
}

/** Refuses every combination that a browser would drop. Source: RFC 6265bis, sections 4.1.3 and 5.7. */
function assertCookie (config: Omit<CookieValues, 'sessionCookieSecure'> & { sessionCookieSecure: string }, name: (option: string) => string): void {
  const { sessionCookieName = '', sessionCookieDomain, sessionCookiePath, sessionCookieSecure, sessionCookieSamesite } = config
  const [cookieName, secure] = [name('sessionCookieName'), name('sessionCookieSecure')]
  const isSecure = sessionCookieSecure === 'true'
  if (/^__host-/i.test(sessionCookieName)) {
    assertRule(sessionCookieDomain === undefined, `${cookieName} begins with __Host-, so ${name('sessionCookieDomain')} must not be set: browsers drop such a cookie.`)
    assertRule(sessionCookiePath === '/', `${cookieName} begins with __Host-, so ${name('sessionCookiePath')} must be /: browsers drop such a cookie.`)
  }
  assertRule(isSecure || !/^__(host|secure)-/i.test(sessionCookieName), `${cookieName} begins with __Host- or __Secure-, so ${secure} must be true: browsers drop such a cookie.`)
  assertRule(isSecure || sessionCookieSamesite !== 'none', `${name('sessionCookieSamesite')}=none needs ${secure}=true: browsers drop such a cookie.`)
  assertRule(isSecure || !config.sessionCookiePartitioned, `${name('sessionCookiePartitioned')} needs ${secure}=true: browsers drop such a cookie.`)
}

type CookieValues = ValuesOf<typeof properties>

type Flaw = { instancePath: string, keyword: string, message?: string, params: { allowedValues?: string[], type?: string, limit?: number } }

function ruleOf ({ keyword, params, message = 'is not valid' }: Flaw): string {
  switch (keyword) {
    case 'enum': return `must be one of ${params.allowedValues?.join(', ')}`
    case 'minimum': return `must be at least ${params.limit}`
    case 'maximum': return `must be at most ${params.limit}`
    case 'type': return params.type === 'integer' ? WHOLE_NUMBER : `must be a ${params.type}`
    default: return message
  }
}

type ValueOf<P> =
  P extends { enum: ReadonlyArray<infer E> } ? E :
    P extends { type: 'integer' } ? number :
      P extends { type: 'boolean' } ? boolean : string

/** The type that a schema describes: optional where it has no default. */
type ValuesOf<P> =
  { [K in keyof P as P[K] extends { default: unknown } ? K : never]: ValueOf<P[K]> } &
  { [K in keyof P as P[K] extends { default: unknown } ? never : K]?: ValueOf<P[K]> }
