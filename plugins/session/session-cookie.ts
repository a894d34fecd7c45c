import type { SerializeOptions } from '@fastify/cookie'
import type { FastifyRequest } from 'fastify'
import { isPlain } from '../config/forwarded.js'
import { isLoopback } from '../config/loopback.js'
import type { Config } from '../config/resolve.js'
import { InsecureTransportError } from './errors.js'

/** The cookie as it is on one kind of connection. */
export interface CookieProfile {
  name: string
  attributes: SerializeOptions
  /** Whether the browser would keep it over plain http. One that is not Secure might be of a site on https, in front of a proxy. */
  isForHttp: boolean
  /** What to do where it is not. */
  remedy: string
}

type CookieConfig = Pick<Config,
  'mode' | 'sessionCookieName' | 'sessionCookieDomain' | 'sessionCookiePath' | 'sessionCookieSecure' | 'sessionCookieSamesite' | 'sessionCookiePartitioned'>

/** Answers which cookie a request uses: it may depend on the connection. */
export function cookieProfiles (config: CookieConfig): (request: FastifyRequest) => CookieProfile {
  const secure = profile(config, true)
  const plain = profile(config, false)
  // It is read, but no other is set: nothing tells how the user is connected.
  const unsure = { ...plain, isForHttp: false }
  const ofConnection = (request: FastifyRequest): CookieProfile => request.protocol === 'https' ? secure : isPlain(request) ? plain : unsure
  switch (config.sessionCookieSecure) {
    case 'true': return () => secure
    case 'false': return () => plain
    case 'auto': return ofConnection
    case 'local': return (request) => isLoopback(request.host) ? ofConnection(request) : secure
  }
}

/** @throws InsecureTransportError instead of setting a cookie that the browser would drop in silence. */
export function assertDeliverable ({ isForHttp, remedy }: CookieProfile, request: FastifyRequest): void {
  if (!isForHttp && request.protocol !== 'https') throw new InsecureTransportError(remedy)
}

/** The name says what the browser is to guarantee: `__Host-` where nobody but this host can set it, else `__Secure-`. */
function profile (config: CookieConfig, secure: boolean): CookieProfile {
  const { sessionCookieName, sessionCookieDomain: domain, sessionCookiePath: path, sessionCookieSamesite: sameSite } = config
  const prefix = !secure ? '' : domain === undefined && path === '/' ? '__Host-' : '__Secure-'
  return {
    name: sessionCookieName ?? `${prefix}hatcheck`,
    isForHttp: !secure,
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
