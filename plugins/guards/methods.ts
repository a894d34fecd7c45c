import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import { createError } from '@fastify/error'
import FindMyWay from 'find-my-way'
import { METHODS } from '../common/node-http.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Tells whether the address of the route does not exist for a request, whatever its method. */
    isHiddenFrom?: (request: FastifyRequest) => boolean
  }
}

const MethodNotAllowedError = createError('HATCHECK_METHOD_NOT_ALLOWED', 'This address does not support this method.', 405)

interface Address {
  /** The pattern, such as `/session/:key`. */
  readonly url: string
  readonly methods: Set<string>
  isHiddenFrom?: ((request: FastifyRequest) => boolean) | undefined
}

const kPattern = Symbol('hatcheck.pattern')
type Refused = Pick<FastifyRequest, 'routeOptions'> & { [kPattern]?: string }

/** Returns the pattern of the address of a request, even if no route takes the method; undefined for an unknown address. */
export function patternOf (request: Pick<FastifyRequest, 'routeOptions'>): string | undefined {
  return (request as Refused)[kPattern] ?? request.routeOptions.url
}

/**
 * Answers requests that no route takes, in the service: 405 if the address has routes for other methods, else 404. Requests
 * with a route cost nothing more. In an application, both answers are the application's.
 */
export function createOtherMethods (fastify: FastifyInstance) {
  const { hatcheck } = fastify
  const addresses = new Map<string, Address>()

  // /verify takes every method that Node can read, and Fastify knows fewer.
  for (const method of METHODS) {
    if (method !== 'CONNECT' && !fastify.supportedMethods.includes(method)) fastify.addHttpMethod(method)
  }

  /** Notes that a route takes a method of an address: an onRoute hook. */
  function noteRoute ({ method, url, routePath, config }: Pick<RouteOptions, 'method' | 'url' | 'config'> & { routePath: string }): void {
    // Fastify reports the start page under a prefix once, and serves it with a slash at the end as well.
    for (const pattern of routePath === '' && url !== '/' ? [url, `${url}/`] : [url]) {
      const address: Address = addresses.get(pattern) ?? { url: pattern, methods: new Set(['OPTIONS']) }
      for (const one of [method].flat()) address.methods.add(one)
      address.isHiddenFrom ??= config?.isHiddenFrom
      addresses.set(pattern, address)
    }
  }

  /** Answers the requests that no route takes: OPTIONS with 204, other methods with 405, both with Allow, unknown addresses with 404. */
  async function refuseOtherMethods (scope: FastifyInstance): Promise<void> {
    const { http, guards } = hatcheck
    // The router of Fastify, so that both read an address the same way.
    const router = FindMyWay({ maxParamLength: Infinity })
    for (const address of addresses.values()) router.on('GET', address.url, () => {}, address)

    // A hook, so that the answer does not depend on the body. This scope has no routes: the hook runs where none was found.
    scope.addHook('onRequest', function refuse (request, reply, done) {
      http.secureHeaders(request, reply)
      const error = guards.refusalOf(request)
      const address = router.find('GET', request.url)?.store as Address | undefined
      if (address !== undefined) (request as Refused)[kPattern] = address.url
      if (error !== null) {
        done(error)
      } else if (address === undefined || address.isHiddenFrom?.(request) === true) {
        http.handleNotFound(request, reply)
      } else {
        reply.header('allow', [...address.methods].sort().join(', '))
        if (request.method === 'OPTIONS') reply.code(204).send()
        else done(new MethodNotAllowedError())
      }
    })
    scope.setNotFoundHandler(http.handleNotFound)
  }

  return { noteRoute, refuseOtherMethods }
}
