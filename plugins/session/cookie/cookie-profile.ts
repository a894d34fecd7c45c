import type { FastifyRequest } from 'fastify'
import { isPlainHttp } from '../../common/forwarded.js'
import { isHttps } from '../../common/is-https.js'
import { isLoopback } from '../../common/loopback.js'
import type { Config } from '../../config/resolve.js'
import type { CookieAttributes } from '../../cookies/index.js'
import { CookieDomainError, InsecureTransportError } from '../model/errors.js'

/** The name and attributes of the cookie on one kind of connection. */
export interface CookieProfile {
  name: string
  attributes: CookieAttributes
  /** Whether the cookie lacks Secure because of the connection, and not because of the options. */
  isPlainByConnection: boolean
  /** The remedy if the cookie cannot be set, for the error text. */
  remedy: string
}

/** The parts of a request that the cookie depends on. */
export type Connection = Pick<FastifyRequest, 'protocol' | 'host'> & { readonly raw?: { readonly socket?: object } }

/** The connection of a browser on https, and of one on http. */
export const HTTPS: Connection = { protocol: 'https', host: '' }
export const HTTP: Connection = { protocol: 'http', host: 'localhost' }

type CookieConfig = Pick<Config,
  'mode' | 'sessionCookieName' | 'sessionCookieDomain' | 'sessionCookiePath' | 'sessionCookieSecure' | 'sessionCookieSamesite' | 'sessionCookiePartitioned'>

/** Makes a function that returns the cookie profile for the connection of a request. */
export function cookieProfiles (config: CookieConfig): (connection: Connection) => CookieProfile {
  const secure = profile(config, true)
  const plain = profile(config, false)
  const plainByConnection = { ...plain, isPlainByConnection: true }
  switch (config.sessionCookieSecure) {
    case 'true': return () => secure
    case 'false': return () => plain
    case 'auto': return (request) => isHttps(request) ? secure : plainByConnection
    case 'local': return (request) => isHttps(request) || !isOfThisMachine(request) ? secure : plainByConnection
  }
}

/** `app.injectWS` of @fastify/websocket makes a request without `Host` and socket. It belongs to `app.inject`, which names localhost. */
function isOfThisMachine ({ host, raw }: Connection): boolean {
  return host === '' ? raw !== undefined && raw.socket === undefined : isLoopback(host)
}

/**
 * Refuses a cookie that the browser would silently drop, and one without Secure on a site that may use https.
 *
 * @throws InsecureTransportError if the cookie is Secure and the connection is http, or the reverse.
 * @throws CookieDomainError if the host of the request is outside the cookie's domain.
 */
export function assertDeliverable ({ attributes: { secure, domain }, isPlainByConnection, remedy }: CookieProfile, request: FastifyRequest): void {
  const isAllowed = secure === true ? isHttps(request) : !isPlainByConnection || isPlainHttp(request)
  if (!isAllowed) throw new InsecureTransportError(remedy)
  if (domain !== undefined && !isWithin(domain, request.host)) throw new CookieDomainError(request.host, domain)
}

/** Tells whether browsers accept a cookie of this domain from a host. Source: RFC 6265, section 5.1.3. */
function isWithin (domain: string, host: string): boolean {
  const name = host.toLowerCase().replace(/:\d*$/, '')
  const suffix = domain.toLowerCase().replace(/^\./, '')
  return name === suffix || name.endsWith(`.${suffix}`)
}

/** The prefix makes the browser guarantee that only this host can set the cookie (`__Host-`), or only over https (`__Secure-`). */
function profile (config: CookieConfig, secure: boolean): CookieProfile {
  const { sessionCookieName, sessionCookieDomain: domain, sessionCookiePath: path, sessionCookieSamesite: sameSite } = config
  const prefix = !secure ? '' : domain === undefined && path === '/' ? '__Host-' : '__Secure-'
  return {
    name: sessionCookieName ?? `${prefix}hatcheck`,
    isPlainByConnection: false,
    remedy: config.mode === 'plugin'
      ? 'Use https, or set trustProxy of Fastify if a proxy ends TLS, or set sessionCookieSecure to false for a test on http.'
      : 'Use https, or set TRUST_PROXY if a proxy ends TLS, or set SESSION_COOKIE_SECURE=false for a test on http.',
    attributes: {
      path,
      httpOnly: true,
      sameSite,
      secure,
      ...domain !== undefined && { domain },
      ...config.sessionCookiePartitioned && { partitioned: true }
    }
  }
}
