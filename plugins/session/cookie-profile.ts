import type { SerializeOptions } from '@fastify/cookie'
import type { FastifyRequest } from 'fastify'
import { isPlain } from '../config/forwarded.js'
import { isLoopback } from '../common/loopback.js'
import type { Config } from '../config/resolve.js'
import { CookieDomainError, InsecureTransportError } from './errors.js'

/** The cookie as it is on one kind of connection. */
export interface CookieProfile {
  name: string
  attributes: SerializeOptions
  /** Whether it is not Secure because the connection is plain http, and not because the options say so. */
  isByConnection: boolean
  /** What to do where it cannot be set. */
  remedy: string
}

type CookieConfig = Pick<Config,
  'mode' | 'sessionCookieName' | 'sessionCookieDomain' | 'sessionCookiePath' | 'sessionCookieSecure' | 'sessionCookieSamesite' | 'sessionCookiePartitioned'>

/** Answers which cookie a request uses: it may depend on the connection. */
export function cookieProfiles (config: CookieConfig): (request: FastifyRequest) => CookieProfile {
  const secure = profile(config, true)
  const plain = profile(config, false)
  const plainByConnection = { ...plain, isByConnection: true }
  switch (config.sessionCookieSecure) {
    case 'true': return () => secure
    case 'false': return () => plain
    case 'auto': return (request) => request.protocol === 'https' ? secure : plainByConnection
    case 'local': return (request) => request.protocol === 'https' || !isLoopback(request.host) ? secure : plainByConnection
  }
}

/**
 * Throws instead of setting a cookie that the browser would drop in silence, or one without Secure on a site that may be on https.
 *
 * @throws InsecureTransportError if it is Secure and the connection is http, or the other way round.
 * @throws CookieDomainError if the host of the request is not within its domain.
 */
export function assertDeliverable ({ attributes: { secure, domain }, isByConnection, remedy }: CookieProfile, request: FastifyRequest): void {
  const isFine = secure === true ? request.protocol === 'https' : !isByConnection || isPlain(request)
  if (!isFine) throw new InsecureTransportError(remedy)
  if (domain !== undefined && !isWithin(domain, request.host)) throw new CookieDomainError(request.host, domain)
}

/** Whether browsers take a cookie of this domain from a host. Source: RFC 6265, section 5.1.3. */
function isWithin (domain: string, host: string): boolean {
  const name = host.toLowerCase().replace(/:\d*$/, '')
  const suffix = domain.toLowerCase().replace(/^\./, '')
  return name === suffix || name.endsWith(`.${suffix}`)
}

/** The name says what the browser is to guarantee: `__Host-` where nobody but this host can set it, else `__Secure-`. */
function profile (config: CookieConfig, secure: boolean): CookieProfile {
  const { sessionCookieName, sessionCookieDomain: domain, sessionCookiePath: path, sessionCookieSamesite: sameSite } = config
  const prefix = !secure ? '' : domain === undefined && path === '/' ? '__Host-' : '__Secure-'
  return {
    name: sessionCookieName ?? `${prefix}hatcheck`,
    isByConnection: false,
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
