import type { FastifyReply, FastifyRequest } from 'fastify'
import helmet, { type HelmetOptions } from 'helmet'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Config } from '../config/resolve.js'
import { styleHash } from '../view/style.js'

const ONE_YEAR = 31_536_000
/** A page or JSON, and for whom: for a cache that keeps what it must not. */
const VARY = 'Accept, Cookie'

/**
 * helmet's headers, with a policy under which nothing runs. They are the same for every response, so helmet is asked
 * once, at the start: asked for each request it takes longer than the session.
 */
export function createSecurityHeaders ({ mode, hsts, allowedOrigins }: Pick<Config, 'mode' | 'hsts' | 'allowedOrigins'>) {
  const fromHelmet = headersOf({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: [styleHash],
        imgSrc: ['data:'],
        // A login may lead on to another origin, and browsers hold the redirect to this as well.
        formAction: ["'self'", ...allowedOrigins],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"]
      }
    },
    // With helmet's no-referrer, browsers send "Origin: null" with our own forms.
    referrerPolicy: { policy: 'same-origin' },
    strictTransportSecurity: false,
    // For browsers and plug-ins of the past, or said by the policy above.
    xFrameOptions: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false
  })
  const headers = { ...fromHelmet, 'cache-control': 'no-store', vary: VARY }
  const overHttps = { ...headers, ...hsts !== 'off' && { 'strict-transport-security': `max-age=${ONE_YEAR}${hsts === 'subdomains' ? '; includeSubDomains' : ''}` } }

  const secure = (request: FastifyRequest, reply: FastifyReply): void => {
    reply.headers(request.protocol === 'https' ? overHttps : headers)
    // Node loses what comes on a connection after a request for another protocol: the client must not wait for it.
    if (request.headers.upgrade !== undefined) reply.header('connection', 'close')
  }

  // Whether browsers may ever use http again holds for all of a host: an application says that itself.
  const secureInHost = (_request: FastifyRequest, reply: FastifyReply): void => {
    // A hook of the host may have said more, such as Origin.
    const vary = reply.getHeader('vary')
    reply.headers(headers)
    if (vary !== undefined && vary !== VARY) reply.header('vary', String(vary).endsWith(VARY) ? vary : `${String(vary)}, ${VARY}`)
  }

  return {
    /** Sets what every answer of ours has: the security headers, and what keeps it out of caches. */
    secureHeaders: mode === 'plugin' ? secureInHost : secure,
    /** The same headers as on plain http. */
    plainHeaders: headers
  }
}

/** What helmet sets, on a response that goes nowhere. */
function headersOf (options: HelmetOptions): Record<string, string> {
  const request = new IncomingMessage(new Socket())
  const response = new ServerResponse(request)
  helmet(options)(request, response, () => {})
  return Object.fromEntries(Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]))
}
