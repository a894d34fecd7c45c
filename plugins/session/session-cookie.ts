import type { SerializeOptions } from '@fastify/cookie'
import type { FastifyRequest } from 'fastify'
import { isLoopback } from '../config/loopback.js'
import type { Config } from '../config/resolve.js'
import { InsecureTransportError } from './errors.js'

/** The cookie as it is on one kind of connection. */
export interface CookieProfile {
  name: string
  attributes: SerializeOptions
}

type CookieConfig = Pick<Config,
  'sessionCookieName' | 'sessionCookieDomain' | 'sessionCookiePath' | 'sessionCookieSecure' | 'sessionCookieSamesite' | 'sessionCookiePartitioned'>

/** Answers which cookie a request uses: it may depend on the connection. */
export function cookieProfiles (config: CookieConfig): (request: FastifyRequest) => CookieProfile {
  const secure = profile(config, true)
  const plain = profile(config, false)
  switch (config.sessionCookieSecure) {
    case 'true': return () => secure
    case 'false': return () => plain
    case 'auto': return (request) => request.protocol === 'https' ? secure : plain
    case 'local': return (request) => request.protocol === 'https' || !isLoopback(request.host) ? secure : plain
  }
}

/** @throws InsecureTransportError instead of setting a cookie that the browser would drop in silence. */
export function assertDeliverable ({ attributes }: CookieProfile, request: FastifyRequest): void {
  if (attributes.secure === true && request.protocol !== 'https') throw new InsecureTransportError()
}

/** The name says what the browser is to guarantee: `__Host-` where nobody but this host can set it, else `__Secure-`. */
function profile (config: CookieConfig, secure: boolean): CookieProfile {
  const { sessionCookieName, sessionCookieDomain: domain, sessionCookiePath: path, sessionCookieSamesite: sameSite } = config
  const prefix = !secure ? '' : domain === undefined && path === '/' ? '__Host-' : '__Secure-'
  return {
    name: sessionCookieName ?? `${prefix}hatcheck`,
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
