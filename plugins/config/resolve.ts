import { resolve } from 'node:path'
import { steadyClock } from '../common/clock.js'
import type { Lifetime, Lifetimes } from '../common/lifetimes.js'
import { realmOfCookie } from '../common/realm.js'
import { ConfigError, assertRule, shown } from '../common/rule.js'
import { oldSessionKinds } from './adopt.js'
import { decoratorsOf } from './decorators.js'
import { FLASK_COOKIE, flaskLifetimes } from './flask.js'
import { formerCookies } from './former-cookies.js'
import { LANGUAGE_TAGS, type LanguageTag } from './language-tags.js'
import type { Mode } from './mode.js'
import { environmentName, type NameOf } from './option-name.js'
import type { GivenOptions, ServiceOnlyOptions, SessionOptions } from './options.js'
import { domainOfPattern, isOriginOrPattern, originMatcher } from './origins.js'
import { flawOfDomain } from './own-domain.js'
import { assertLeadsOn, pagesOf } from './pages.js'
import type { Row, ValuesOf } from './row.js'
import { assertPath, placeOfSessions, storeChoice } from './store-choice.js'
import { suggestionFor } from './suggestion.js'
import { OPTIONS, SESSION_OPTIONS } from './table.js'
import { validate } from './validate.js'

/** The checked options with every default filled in. */
export type Config = ReturnType<typeof resolveConfig>

const rows = new Map<string, Row>(Object.entries(OPTIONS))

/**
 * Checks the options, and fills in the defaults.
 *
 * @param scope the prefix of the scope in which hatcheck is registered.
 * @throws ConfigError with the rule that is broken.
 */
export function resolveConfig (options: GivenOptions & ServiceOnlyOptions, mode: Mode, scope = '') {
  const nameOf: NameOf = (option) => mode === 'plugin' ? option : environmentName(option)
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  assertKnown(Object.keys(given), mode)
  const { authenticate, now = steadyClock(), sessionStore: store = OPTIONS.sessionStore.default } = options
  const isFlask = placeOfSessions(store) === 'flask'
  const { sessionIdleTimeout, sessionLifetime, permanentSessionIdleTimeout, permanentSessionLifetime, ...values } = validate(OPTIONS, isFlask ? { sessionCookieName: FLASK_COOKIE, ...given } : given, nameOf, mode)
  assertRule(authenticate === undefined || typeof authenticate === 'function', `authenticate must be ${OPTIONS.authenticate.form}; got ${shown(authenticate)}.`)
  assertClock(now)
  assertSchema(options.sessionSchema)
  const dataDir = resolve(values.dataDir)
  const sessionStore = storeChoice(store, dataDir, nameOf('sessionStore'))
  assertPath(values.dataDir, nameOf('dataDir'))
  const pages = pagesOf(options.routes, mode, values, scope)
  const allowedOrigins = originsOf(options.allowedOrigins, nameOf('allowedOrigins'))
  const config = {
    ...values,
    mode,
    nameOf,
    dataDir,
    secretKey: options.secretKey,
    secretKeyFallbacks: listOf(options.secretKeyFallbacks, nameOf('secretKeyFallbacks')),
    sessionStore,
    realm: values.realm ?? realmOfCookie(values.sessionCookieName),
    formerCookies: formerCookies(listOf(options.formerCookieNames, nameOf('formerCookieNames')), values, OPTIONS.formerCookieNames.form, OPTIONS.sessionCookieName.pattern, nameOf),
    oldSessionKinds: oldSessionKinds(options.adopt, OPTIONS.adopt.form, OPTIONS.sessionCookieName.pattern),
    sessionCookieSecure: values.sessionCookieSecure ?? ('local' as const),
    anonymousSessionsPerMinute: values.anonymousSessionsPerMinute ?? Infinity,
    commonPasswords: mode === 'demo' ? 'allowed' as const : 'refused' as const,
    allowedOrigins,
    /** Answers whether an origin is in `allowedOrigins`. */
    isAllowedOrigin: originMatcher(allowedOrigins),
    pageLanguages: languagesOf(options.pageLanguages, nameOf('pageLanguages')),
    sessionSchema: options.sessionSchema,
    authenticate,
    decorators: decoratorsOf(options.decorators),
    // A clock of high resolution has fractions, which not every store keeps.
    now: () => Math.floor(now()),
    lifetimes: isFlask
      ? flaskLifetimes(given, permanentSessionLifetime, nameOf)
      : lifetimesOf({ sessionIdleTimeout, sessionLifetime, permanentSessionIdleTimeout, permanentSessionLifetime }, given, nameOf),
    ...pages
  }
  assertCookie(config)
  assertTogether(config, options)
  assertLeadsOn(config)
  return config
}

/**
 * Checks the options of `hatcheck/session`, which has no logins and no pages, and fills in the defaults.
 *
 * @throws ConfigError with the rule that is broken.
 */
export function resolveSessionConfig (options: SessionOptions, scope: string): Config {
  for (const option of Object.keys(options)) {
    if (option in SESSION_OPTIONS) continue
    throw new ConfigError(rows.has(option)
      ? `${option} is not an option of hatcheck/session, which has no logins and no pages: register hatcheck instead.`
      : `${option} is not an option of hatcheck/session.${suggestionFor(option, Object.keys(SESSION_OPTIONS))}`)
  }
  return resolveConfig(options, 'plugin', scope)
}

/**
 * Refuses IP addresses, single labels and public suffixes: browsers drop a cookie for such a domain.
 *
 * @throws ConfigError
 */
export async function assertDomains ({ nameOf, sessionCookieDomain, allowedOrigins }: Config): Promise<void> {
  if (sessionCookieDomain !== undefined) {
    const flaw = await flawOfDomain(sessionCookieDomain)
    assertRule(flaw === null, `${nameOf('sessionCookieDomain')} must be a domain of your own, such as example.com; ${shown(sessionCookieDomain)} ${flaw}, and browsers drop a cookie for it.`)
  }
  for (const origin of allowedOrigins) {
    const domain = domainOfPattern(origin)
    const flaw = domain === null ? null : await flawOfDomain(domain)
    assertRule(flaw === null, `${nameOf('allowedOrigins')} can have a star below a domain of your own, such as https://*.example.com; in ${shown(origin)}, ${shown(domain)} ${flaw}.`)
  }
}

/** @throws ConfigError */
function assertKnown (options: readonly string[], mode: Mode): void {
  const isAllowed = (row: Row): boolean => mode !== 'plugin' || row.only !== 'service'
  for (const option of options) {
    const row = rows.get(option)
    if (row === undefined) throw new ConfigError(`${option} is not an option of hatcheck.${suggestionFor(option, [...rows].flatMap(([name, row]) => isAllowed(row) ? [name] : []))}`)
    assertRule(isAllowed(row), `${option} is an option of the service only: an application sets this itself.`)
  }
}

/** Refuses options that contradict each other. @throws ConfigError */
function assertTogether (config: Config, { signup, anonymousSessionsPerMinute }: GivenOptions): void {
  const { nameOf, sessionStore, sessionRevocation, authenticate, anonymousSessions } = config
  assertRule(sessionRevocation === 'store' || (sessionStore.kind === 'engine' && sessionStore.sessionsIn !== 'engine'),
    `${nameOf('sessionRevocation')}=none is for sessions in cookies only: set ${nameOf('sessionStore')} to cookie: or flask:, or leave it out.`)
  assertRule(authenticate === undefined || signup === undefined,
    `${nameOf('signup')} must not be set with authenticate: hatcheck then keeps no accounts.`)
  assertRule(anonymousSessions || anonymousSessionsPerMinute === undefined,
    `${nameOf('anonymousSessionsPerMinute')} must not be set with ${nameOf('anonymousSessions')}=false: no such session can begin.`)
}

function originsOf (given: GivenOptions['allowedOrigins'], name: string): string[] {
  const origins = listOf(given, name)
  for (const origin of origins) {
    assertRule(typeof origin === 'string' && isOriginOrPattern(origin),
      `${name} must be ${OPTIONS.allowedOrigins.form}; got ${shown(origin)}.`)
  }
  return origins
}

function languagesOf (given: GivenOptions['pageLanguages'], name: string): LanguageTag[] {
  const tags = given === undefined ? LANGUAGE_TAGS : listOf(given, name)
  const known = LANGUAGE_TAGS.filter((tag) => tags.includes(tag))
  assertRule(tags.length > 0 && tags.every((tag) => known.some((one) => one === tag)), `${name} must be ${OPTIONS.pageLanguages.form}; got ${shown(given)}.`)
  return known.sort((a, b) => tags.indexOf(a) - tags.indexOf(b))
}

function lifetimesOf (values: Times, given: Record<string, unknown>, nameOf: NameOf): Lifetimes {
  return {
    browser: lifetimeOf(values, given, 'sessionIdleTimeout', 'sessionLifetime', nameOf),
    permanent: lifetimeOf(values, given, 'permanentSessionIdleTimeout', 'permanentSessionLifetime', nameOf)
  }
}

/** Adjusts a default to the value that is set: the idle timeout must not be longer than the lifetime. */
function lifetimeOf (values: Times, given: Record<string, unknown>, idle: keyof Times, lifetime: keyof Times, nameOf: NameOf): Lifetime {
  const { [idle]: idleSeconds, [lifetime]: lifetimeSeconds } = values
  const isLifetimeGiven = given[lifetime] !== undefined
  assertRule(idleSeconds <= lifetimeSeconds || given[idle] === undefined || !isLifetimeGiven, `${nameOf(idle)} must not be longer than ${nameOf(lifetime)}.`)
  return isLifetimeGiven
    ? { idleSeconds: Math.min(idleSeconds, lifetimeSeconds), lifetimeSeconds }
    : { idleSeconds, lifetimeSeconds: Math.max(idleSeconds, lifetimeSeconds) }
}

/** Reads a list, or text with commas between the parts. */
function listOf<T> (value: string | readonly T[] | undefined, name: string): Array<T | string> {
  if (value === undefined) return []
  assertRule(typeof value === 'string' || Array.isArray(value), `${name} must be a list, or text with commas between the parts.`)
  return typeof value === 'string' ? value.split(',').map((part) => part.trim()).filter((part) => part !== '') : [...value]
}

/** Calls the clock once: one that returns no time would end every session, or none. */
function assertClock (now: () => number): void {
  const rule = `now must be ${OPTIONS.now.form}`
  assertRule(typeof now === 'function', `${rule}; got ${shown(now)}.`)
  const time: unknown = now()
  assertRule(typeof time === 'number' && Number.isFinite(time), `${rule}; it returned ${shown(time)}.`)
}

function assertSchema (schema: unknown): void {
  if (schema === undefined) return
  const standard: unknown = Object(schema)['~standard']
  assertRule(typeof Object(standard).validate === 'function', `sessionSchema must be ${OPTIONS.sessionSchema.form}; got ${shown(schema)}.`)
}

/** Refuses every cookie that browsers would drop. `__Http-` needs HttpOnly as well, which each cookie has. Source: RFC 6265bis, sections 4.1.3 and 5.7. */
function assertCookie (config: Config): void {
  const { nameOf, sessionCookieName = '', sessionCookieDomain, sessionCookiePath, sessionCookieSecure, sessionCookieSamesite } = config
  const [cookieName, secure] = [nameOf('sessionCookieName'), nameOf('sessionCookieSecure')]
  const isSecure = sessionCookieSecure === 'true'
  if (/^__host-/i.test(sessionCookieName)) {
    assertRule(sessionCookieDomain === undefined, `${cookieName} begins with __Host-, so ${nameOf('sessionCookieDomain')} must not be set: browsers drop such a cookie.`)
    assertRule(sessionCookiePath === '/', `${cookieName} begins with __Host-, so ${nameOf('sessionCookiePath')} must be /: browsers drop such a cookie.`)
  }
  assertRule(isSecure || !/^__(host|secure|http)-/i.test(sessionCookieName), `${cookieName} begins with __Host-, __Secure- or __Http-, so ${secure} must be true: browsers drop such a cookie.`)
  assertRule(isSecure || sessionCookieSamesite !== 'none', `${nameOf('sessionCookieSamesite')}=none needs ${secure}=true: browsers drop such a cookie.`)
  assertRule(isSecure || !config.sessionCookiePartitioned, `${nameOf('sessionCookiePartitioned')} needs ${secure}=true: browsers drop such a cookie.`)
}

type Times = Pick<ValuesOf<typeof OPTIONS>, 'sessionIdleTimeout' | 'sessionLifetime' | 'permanentSessionIdleTimeout' | 'permanentSessionLifetime'>
