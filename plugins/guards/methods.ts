import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import { createError } from '@fastify/error'
import { METHODS } from 'node:http'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** To whom an address does not exist, by no method. */
    isHiddenFrom?: (request: FastifyRequest) => boolean
  }
}

export const MethodNotAllowedError = createError('HATCHECK_METHOD_NOT_ALLOWED', 'This address does not take requests of this method.', 405)

/**
 * The methods that the service does not take, with routes for them, so that those which are there cost nothing. In an
 * application they are the application's.
 */
export function createOtherMethods (fastify: FastifyInstance) {
  const { hatcheck } = fastify
  const taken = new Map<string, Set<string>>()
  const hidden = new Map<string, (request: FastifyRequest) => boolean>()

  // Node reads more methods than Fastify has routes for.
  for (const method of METHODS) {
    if (method !== 'CONNECT' && !fastify.supportedMethods.includes(method)) fastify.addHttpMethod(method)
  }

  /** Notes that a method of an address is taken: an onRoute hook. */
  function noteRoute ({ method, url, routePath, config }: Pick<RouteOptions, 'method' | 'url' | 'config'> & { routePath: string }): void {
    // Fastify tells of the start page under a prefix once, and serves it with a slash at the end as well.
    for (const address of routePath === '' && url !== '/' ? [url, `${url}/`] : [url]) {
      taken.set(address, new Set([...taken.get(address) ?? [], ...[method].flat()]))
    }
    if (config?.isHiddenFrom !== undefined) hidden.set(url, config.isHiddenFrom)
  }

  /** Answers every method that none of the noted routes takes: OPTIONS with 204, the others with 405, all with Allow. */
  async function refuseOtherMethods (scope: FastifyInstance): Promise<void> {
    const { http, guards } = hatcheck
    scope.setErrorHandler(http.handleError)
    for (const [url, own] of taken) {
      const allow = [...own, 'OPTIONS'].sort().join(', ')
      scope.route({
        method: scope.supportedMethods.filter((method) => !own.has(method)),
        url,
        exposeHeadRoute: false,
        // The API description has what there is.
        schema: { hide: true },
        // Before the body is read: what it is does not matter.
        onRequest (request, reply, done) {
          http.secureHeaders(request, reply)
          const error = guards.refusalOf(request)
          if (error === null && hidden.get(url)?.(request) === true) {
            http.handleNotFound(request, reply)
            return
          }
          if (error === null) reply.header('allow', allow)
          done(error ?? (request.method === 'OPTIONS' ? undefined : new MethodNotAllowedError()))
        },
        handler: (_request, reply) => reply.code(204).send()
      })
    }
  }

  return { noteRoute, refuseOtherMethods }
}
