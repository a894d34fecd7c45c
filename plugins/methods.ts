import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import { METHODS } from 'node:http'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** To whom an address does not exist, by no method. */
    isHiddenFrom?: (request: FastifyRequest) => boolean
  }
  interface Hatcheck {
    /** Notes that a method of an address is taken: an onRoute hook. */
    noteRoute (route: Pick<RouteOptions, 'method' | 'url' | 'config'> & { routePath: string }): void
    /** Answers every method that none of the noted routes takes: OPTIONS with 204, the others with 405, all with Allow. */
    refuseOtherMethods (fastify: FastifyInstance): Promise<void>
  }
}

export const MethodNotAllowedError = createError('HATCHECK_METHOD_NOT_ALLOWED', 'This address does not take requests of this method.', 405)

/** With routes for the other methods, so that those which are there cost nothing. */
export default fp(async function methods (fastify) {
  const { hatcheck } = fastify
  const isService = hatcheck.config.mode !== 'plugin'
  const taken = new Map<string, Set<string>>()
  const hidden = new Map<string, (request: FastifyRequest) => boolean>()

  // Node reads more methods than Fastify has routes for. A host's own router is left as it is.
  for (const method of isService ? METHODS : []) {
    if (method !== 'CONNECT' && !fastify.supportedMethods.includes(method)) fastify.addHttpMethod(method)
  }

  hatcheck.noteRoute = ({ method, url, routePath, config }) => {
    // Fastify tells of the start page under a prefix once, and serves it with a slash at the end as well.
    for (const address of routePath === '' && url !== '/' ? [url, `${url}/`] : [url]) {
      taken.set(address, new Set([...taken.get(address) ?? [], ...[method].flat()]))
    }
    if (config?.isHiddenFrom !== undefined) hidden.set(url, config.isHiddenFrom)
  }

  hatcheck.refuseOtherMethods = async (scope) => {
    scope.setErrorHandler(hatcheck.handleError)
    for (const [address, own] of taken) {
      const url = isService ? address : yielding(address)
      if (url === null) continue
      const allow = [...own, 'OPTIONS'].sort().join(', ')
      scope.route({
        method: scope.supportedMethods.filter((method) => !own.has(method)),
        url,
        exposeHeadRoute: false,
        // For the API description of a host: it describes what there is.
        schema: { hide: true },
        // Before the body is read: what it is does not matter.
        onRequest (request, reply, done) {
          hatcheck.secureHeaders(request, reply)
          const error = hatcheck.demoError(request)
          if (error === null && hidden.get(address)?.(request) === true) {
            hatcheck.handleNotFound(request, reply)
            return
          }
          if (error === null) reply.header('allow', allow)
          done(error ?? (request.method === 'OPTIONS' ? undefined : new MethodNotAllowedError()))
        },
        handler: (_request, reply) => reply.code(204).send()
      })
    }
  }
}, { name: 'methods', dependencies: ['config', 'security-headers', 'error-handler', 'demo-guard'] })

/**
 * The address with nothing as a parameter behind its last fixed part. The router tries that after the address as it is, so
 * a host can have a route of its own there. `/` has no fixed part, and is the host's.
 */
function yielding (address: string): string | null {
  const parts = address.split('/')
  const last = parts.findLastIndex((part) => part !== '' && !part.startsWith(':'))
  return last === -1 ? null : parts.with(last, `${parts[last]}:hatcheck(^$)`).join('/')
}
