import fastifyHelmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { styleHash } from './view/style.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Sets what every answer of ours has: the security headers, and what keeps it out of caches. */
    secureHeaders (request: FastifyRequest, reply: FastifyReply): void
  }
}

const ONE_YEAR = 31_536_000
/** A page or JSON, and for whom: for a cache that keeps what it must not. */
const VARY = 'Accept, Cookie'

/**
 * helmet's headers, with a policy under which nothing runs. They are the same for every response, so helmet is asked
 * once, at the start: asked for each request it takes longer than the session.
 */
export default fp(async function securityHeaders (fastify) {
  const { hatcheck } = fastify
  const fromHelmet = await headersOf({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: [styleHash],
        imgSrc: ['data:'],
        // A login may lead on to another origin, and browsers hold the redirect to this as well.
        formAction: ["'self'", ...hatcheck.config.allowedOrigins],
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
  const overHttps = { ...headers, 'strict-transport-security': `max-age=${ONE_YEAR}; includeSubDomains` }

  const secure = (request: FastifyRequest, reply: FastifyReply): void => { reply.headers(request.protocol === 'https' ? overHttps : headers) }

  const secureInHost = (request: FastifyRequest, reply: FastifyReply): void => {
    // A hook of the host may have said more, such as Origin.
    const vary = reply.getHeader('vary')
    secure(request, reply)
    if (vary !== undefined && vary !== VARY) reply.header('vary', String(vary).endsWith(VARY) ? vary : `${String(vary)}, ${VARY}`)
  }

  hatcheck.secureHeaders = hatcheck.config.mode === 'plugin' ? secureInHost : secure
}, { name: 'security-headers', dependencies: ['config'] })

async function headersOf (options: FastifyHelmetOptions): Promise<Record<string, string>> {
  const probe = Fastify()
  await probe.register(fastifyHelmet, options)
  probe.get('/', async () => '')
  const { headers } = await probe.inject('/')
  await probe.close()
  const own = new Set(['content-type', 'content-length', 'date', 'connection'])
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !own.has(name)).map(([name, value]) => [name, String(value)]))
}
