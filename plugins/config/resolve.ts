import { resolve } from 'node:path'
import { steadyClock, type Lifetime, type Lifetimes } from '../common/clock.js'
import { realmOfCookie } from '../common/realm.js'
import type { SessionStore } from '../store/sessions.js'
import type { GivenOptions } from './options.js'
import { domainOfPattern, isOriginOrPattern, originMatcher } from './origins.js'
import { flawOfDomain } from './own-domain.js'
import { ROUTE_NAMES, type RouteName } from './route-names.js'
import { assertRule, shown } from '../common/rule.js'
import { validate, type Property, type ValuesOf } from './validate.js'

/** How hatcheck runs: in a host application, or as a service, perhaps in demo mode. */
export type Mode = 'plugin' | 'service' | 'demo'

/** The options with every default in place, each of one type. */
export type Config = ReturnType<typeof resolveConfig>

const LONGEST_SECONDS = 400 * 86_400
const seconds = { type: 'integer', minimum: 1, maximum: LONGEST_SECONDS } as const

/** What is taken where neither the idle timeout nor the lifetime is set. */
const LIFETIMES = {
  browser: { idleSeconds: 3_600, lifetimeSeconds: 86_400 },
  permanent: { idleSeconds: 1_209_600, lifetimeSeconds: 2_592_000 }
} as const satisfies Lifetimes

/** Far more than visitors behind one address begin, and little for a disk: sessions of strangers end after an hour. */
const ANONYMOUS_PER_MINUTE = 300

/** The plain options: their types, limits and defaults. */
const properties = {
  secretKeyFile: { type: 'string', minLength: 1 },
  dataDir: { type: 'string', minLength: 1, default: './data' },
  realm: { type: 'string', pattern: /^[A-Za-z0-9._-]{1,64}$/, rule: 'must be 1 to 64 letters, digits, dots, underscores or hyphens (A-Z a-z 0-9 . _ -)' },
  sessionCookieName: { type: 'string', pattern: /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, rule: 'must be a cookie name: letters, digits, - and _, at most 128 of them' },
  sessionCookieDomain: { type: 'string', pattern: /^\.?[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?$/, rule: 'must be a domain such as example.com' },
  sessionCookiePath: { type: 'string', pattern: /^\/[!-:<-~]*$/, default: '/', rule: 'must be a path such as /app' },
  sessionCookieSecure: { type: 'string', enum: ['true', 'false', 'auto'] },
  // Flask writes Lax, and so do people.
  sessionCookieSamesite: { type: 'string', enum: ['lax', 'strict', 'none'], anyCase: true, default: 'lax' },
  sessionCookiePartitioned: { type: 'boolean', default: false },
  sessionIdleTimeout: seconds,
  sessionLifetime: seconds,
  permanentSessionIdleTimeout: seconds,
  permanentSessionLifetime: seconds,
  sessionMaxBytes: { type: 'integer', minimum: 256, maximum: 1_048_576, default: 16_384 },
  sessionsPerUser: { type: 'integer', minimum: 1, maximum: 10_000, default: 100 },
  anonymousSessions: { type: 'boolean', default: true },
  anonymousSessionsPerMinute: { type: 'integer', minimum: 1, maximum: 1_000_000 },
  signup: { type: 'string', enum: ['open', 'closed'] },
  passwordMinLength: { type: 'integer', minimum: 8, maximum: 256 },
  prefix: { type: 'string', pattern: /^(\/[^/?#\s]+)*$/, default: '', rule: 'must be a path such as /auth, without a slash at the end' },
  hsts: { type: 'string', enum: ['off', 'host', 'subdomains'], default: 'subdomains' }
} as const satisfies Record<string, Property>

/** The options that can be more than text, but may be text. */
const TEXT_OR_MORE = ['secretKey', 'secretKeyFallbacks', 'sessionStore', 'allowedOrigins']
const STORE_METHODS = ['read', 'create', 'patch', 'touch', 'remove', 'replace', 'ping', 'close'] satisfies Array<keyof SessionStore>
/** The options that only code can give. */
const CODE_ONLY = ['authenticate', 'routes', 'now']
/** The options of the service alone: a host application decides this itself. */
export const SERVICE_ONLY = ['hsts']
/** The options that the environment can give as well; where and whether there are pages is the service's own business. */
export const PLAIN_OPTIONS = [...Object.keys(properties), ...TEXT_OR_MORE].filter((option) => option !== 'prefix' && !SERVICE_ONLY.includes(option))

export interface ServiceOnlyOptions {
  /**
   * What Strict-Transport-Security tells browsers over https, for a year: nothing (`off`), to use https for this host
   * (`host`), or for its subdomains as well.
   * @default 'subdomains'
   */
  hsts?: string | undefined
}

/**
 * Checks the options and puts the defaults in.
 *
 * @param scope the prefix of the scope in which hatcheck is registered.
 * @throws ConfigError with the rule that is broken.
 */
export function resolveConfig (options: GivenOptions & ServiceOnlyOptions, mode: Mode, scope = '') {
  const name = (option: string): string => mode === 'plugin' ? option : environmentName(option)
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  for (const option of Object.keys(given)) {
    assertRule(Object.hasOwn(properties, option) || TEXT_OR_MORE.includes(option) || CODE_ONLY.includes(option), `${option} is not an option of hatcheck.`)
    assertRule(mode !== 'plugin' || !SERVICE_ONLY.includes(option), `${option} is an option of the service alone: an application sets this itself.`)
  }
  const values = validate(properties, given, name)
  const { authenticate, now = steadyClock(), sessionStore = 'lmdb:' } = options
  assertFunction(authenticate, 'authenticate', '(name, password, request) => { name } or null')
  assertClock(now)
  assertStore(sessionStore, name('sessionStore'))
  const routes = routesOf(options.routes, mode, values.prefix)
  const root = scope.replace(/\/$/, '')
  const base = root + values.prefix
  const allowedOrigins = originsOf(options.allowedOrigins, name('allowedOrigins'))
  const config = {
    ...values,
    mode,
    dataDir: resolve(values.dataDir),
    secretKey: options.secretKey,
    secretKeyFallbacks: listOf(options.secretKeyFallbacks, name('secretKeyFallbacks')),
    sessionStore,
    realm: values.realm ?? realmOfCookie(values.sessionCookieName),
    sessionCookieSecure: values.sessionCookieSecure ?? ('local' as const),
    anonymousSessionsPerMinute: values.anonymousSessionsPerMinute ?? (mode === 'plugin' ? Infinity : ANONYMOUS_PER_MINUTE),
    signup: values.signup ?? (mode === 'demo' ? 'open' as const : 'closed' as const),
    passwordMinLength: values.passwordMinLength ?? (mode === 'demo' ? 8 : 15),
    commonPasswords: mode === 'demo' ? 'allowed' as const : 'refused' as const,
    allowedOrigins,
    /** Whether an origin is one of those that are allowed. */
    isAllowedOrigin: originMatcher(allowedOrigins),
    authenticate,
    now,
    lifetimes: {
      browser: lifetimeOf(LIFETIMES.browser, values, 'sessionIdleTimeout', 'sessionLifetime', name),
      permanent: lifetimeOf(LIFETIMES.permanent, values, 'permanentSessionIdleTimeout', 'permanentSessionLifetime', name)
    } satisfies Lifetimes,
    /** Which pages there are. */
    hasRoute: (route: RouteName): boolean => routes.has(route),
    hasRoutes: routes.size > 0,
    /** The path under which the pages are, from the root of the server. */
    base,
    /** Where a page leads back to: the start page, or that of the application. */
    home: `${routes.has('home') ? base : root}/`
  }
  assertCookie(config, name)
  assertRule(config.authenticate === undefined || options.signup === undefined,
    `${name('signup')} has no meaning beside authenticate: hatcheck keeps no accounts then.`)
  assertRule(config.anonymousSessions || values.anonymousSessionsPerMinute === undefined,
    `${name('anonymousSessionsPerMinute')} has no meaning beside ${name('anonymousSessions')}=false: no such session can begin then.`)
  return config
}

/**
 * Refuses domains that are nobody's own: browsers drop a cookie for one, and its hosts are everybody's.
 *
 * @throws ConfigError
 */
export async function assertDomains ({ mode, sessionCookieDomain, allowedOrigins }: Config): Promise<void> {
  const name = (option: string): string => mode === 'plugin' ? option : environmentName(option)
  if (sessionCookieDomain !== undefined) {
    const flaw = await flawOfDomain(sessionCookieDomain)
    assertRule(flaw === null, `${name('sessionCookieDomain')} must be a domain of your own, such as example.com; ${shown(sessionCookieDomain)} ${flaw}, and browsers drop a cookie for it.`)
  }
  for (const origin of allowedOrigins) {
    const domain = domainOfPattern(origin)
    const flaw = domain === null ? null : await flawOfDomain(domain)
    assertRule(flaw === null, `${name('allowedOrigins')} can have a star below a domain of your own, such as https://*.example.com; in ${shown(origin)}, ${shown(domain)} ${flaw}.`)
  }
}

function originsOf (given: GivenOptions['allowedOrigins'], name: string): string[] {
  const origins = listOf(given, name)
  for (const origin of origins) {
    assertRule(typeof origin === 'string' && isOriginOrPattern(origin),
      `${name} must be origins such as https://app.example.com, without a path; got ${shown(origin)}.`)
  }
  return origins
}

/** The pages that are served: all in the service; in an application those that it asks for. */
function routesOf (routes: unknown, mode: Mode, prefix: string): ReadonlySet<RouteName> {
  if (mode !== 'plugin') return new Set(ROUTE_NAMES)
  if (routes === undefined || routes === false) return new Set()
  // Without a prefix the start page would be at `/`, which is the application's.
  if (routes === true) return new Set(ROUTE_NAMES.filter((route) => route !== 'home' || prefix !== ''))
  const rule = `routes must be true, false or a list of ${ROUTE_NAMES.join(', ')}`
  assertRule(Array.isArray(routes), `${rule}; got ${shown(routes)}.`)
  for (const route of routes) assertRule(ROUTE_NAMES.includes(route), `${rule}; there is no ${shown(route)}.`)
  return new Set(routes as RouteName[])
}

/** A default gives way to what is set: an idle timeout longer than the lifetime would have no meaning. */
function lifetimeOf (defaults: Lifetime, values: SessionTimes, idle: keyof SessionTimes, lifetime: keyof SessionTimes, name: (option: string) => string): Lifetime {
  const { [idle]: idleSeconds, [lifetime]: lifetimeSeconds } = values
  assertRule((idleSeconds ?? 0) <= (lifetimeSeconds ?? Infinity), `${name(idle)} must not be longer than ${name(lifetime)}.`)
  return {
    idleSeconds: idleSeconds ?? Math.min(defaults.idleSeconds, lifetimeSeconds ?? Infinity),
    lifetimeSeconds: lifetimeSeconds ?? Math.max(defaults.lifetimeSeconds, idleSeconds ?? 0)
  }
}

/** `secretKey` → `SECRET_KEY` */
export function environmentName (option: string): string {
  return option.replace(/[A-Z]/g, '_$&').toUpperCase()
}

/** A list, or text with its parts separated by commas. */
function listOf<T> (value: string | readonly T[] | undefined, name: string): Array<T | string> {
  if (value === undefined) return []
  assertRule(typeof value === 'string' || Array.isArray(value), `${name} must be a list, or text with commas between the parts.`)
  return typeof value === 'string' ? value.split(',').map((part) => part.trim()).filter((part) => part !== '') : [...value]
}

function assertFunction<F extends (...args: never[]) => unknown> (value: F | undefined, name: string, shape: string): void {
  assertRule(value === undefined || typeof value === 'function', `${name} must be a function: ${shape}; got ${shown(value)}.`)
}

/** A clock that gives no time would end no session, or all. */
function assertClock (now: () => number): void {
  const rule = 'now must be a function that returns the time in ms since the epoch'
  assertRule(typeof now === 'function', `${rule}; got ${shown(now)}.`)
  const time: unknown = now()
  assertRule(typeof time === 'number' && Number.isFinite(time), `${rule}; it returned ${shown(time)}.`)
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

type SessionTimes = Pick<CookieValues, 'sessionIdleTimeout' | 'sessionLifetime' | 'permanentSessionIdleTimeout' | 'permanentSessionLifetime'>
