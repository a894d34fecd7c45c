import type { FastifyReply, FastifyRequest } from 'fastify'
import { isHttps } from '../common/is-https.js'
import { isOrigin } from '../common/origin.js'
import type { Config } from '../config/resolve.js'
import type { View } from '../view/index.js'
import { fixedHeaders } from './fixed-headers.js'

const ONE_YEAR_SECONDS = 31_536_000
/** Tells caches that an answer depends on who asks and on what is asked for: a page in some language, or JSON. */
const VARY = 'Accept, Accept-Language, Cookie'

/** The options that name other origins to which a form leads. */
type FormTargets = 'allowedOrigins' | 'afterLogin' | 'afterLogout'

/**
 * Sets the security headers of every answer. The policy allows no script, and only the style sheets and images of the pages.
 * `X-Frame-Options` and other headers for old browsers are left out: the policy says the same.
 *
 * Source: OWASP HTTP Headers Cheat Sheet.
 */
export function createSecurityHeaders (config: Pick<Config, 'mode' | 'hsts' | FormTargets>, { style, image }: View['sources']) {
  const { mode, hsts } = config
  const fixed = {
    'content-security-policy': [
      "default-src 'none'",
      `style-src ${style.join(' ')}`,
      `img-src ${image.join(' ')}`,
      `form-action ${["'self'", ...formTargets(config)].join(' ')}`,
      "base-uri 'none'",
      "frame-ancestors 'none'"
    ].join(';'),
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    // With "no-referrer", browsers would send "Origin: null" with our own forms.
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff'
  }
  const headers = { ...fixed, 'cache-control': 'no-store', vary: VARY }
  const hstsHeader = { 'strict-transport-security': `max-age=${ONE_YEAR_SECONDS}${hsts === 'subdomains' ? '; includeSubDomains' : ''}` }
  const setFixed = fixedHeaders(fixed)
  const setFixedOverHttps = hsts === 'off' ? setFixed : fixedHeaders({ ...fixed, ...hstsHeader })

  const secure = (request: FastifyRequest, reply: FastifyReply): void => {
    if (isHttps(request)) setFixedOverHttps(reply)
    else setFixed(reply)
    // Not among the fixed headers: the session can change these.
    reply.header('cache-control', 'no-store').header('vary', VARY)
    // After a request for another protocol, Node drops what comes next on the connection: the client must not wait for an answer.
    if (request.headers.upgrade !== undefined) reply.header('connection', 'close')
  }

  // HSTS covers the whole host name, so an application sets it itself.
  const secureInApplication = (_request: FastifyRequest, reply: FastifyReply): void => {
    // A hook of the application may have added to it, such as Origin.
    const vary = reply.getHeader('vary')
    reply.headers(headers)
    if (vary !== undefined && vary !== VARY) reply.header('vary', String(vary).includes(VARY) ? vary : `${String(vary)}, ${VARY}`)
  }

  return {
    /** Sets what every answer of ours has: the security headers, and what keeps it out of caches. */
    secureHeaders: mode === 'plugin' ? secureInApplication : secure,
    /** The same headers as on plain http. */
    plainHeaders: headers
  }
}

/** Returns the other origins to which a form leads: browsers also check the redirects after a form. */
function formTargets ({ allowedOrigins, afterLogin, afterLogout }: Pick<Config, FormTargets>): Set<string> {
  const places = [afterLogin, afterLogout].filter((place) => URL.canParse(place)).map((place) => new URL(place).origin)
  return new Set([...allowedOrigins, ...places.filter(isOrigin)])
}
