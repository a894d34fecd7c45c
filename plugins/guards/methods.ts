import type { FastifyRequest, RouteOptions } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import FindMyWay from 'find-my-way'
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

interface Address {
  /** The pattern, such as `/session/:key`. */
  readonly url: string
  readonly methods: Set<string>
  isHiddenFrom?: ((request: FastifyRequest) => boolean) | undefined
}

const kPattern = Symbol('hatcheck.pattern')
type Refused = Pick<FastifyRequest, 'routeOptions'> & { [kPattern]?: string }

/** Returns the pattern of the address of a request, also if no route takes the method; undefined for an unknown address. */
export function patternOf (request: Pick<FastifyRequest, 'routeOptions'>): string | undefined {
  return (request as Refused)[kPattern] ?? request.routeOptions.url
}

/**
 * Answers requests that no route takes, in the service: 405 if the address has routes for other methods, else 404. Requests
 * with a route cost nothing more. In an application, both answers are the application's.
 */
export default fp(async function methods (fastify) {
  const { hatcheck } = fastify
  if (hatcheck.config.mode === 'plugin') return
  const addresses = new Map<string, Address>()

  // /verify takes every method that Node can read, and Fastify knows fewer.
  for (const method of METHODS) {
    if (method !== 'CONNECT' && !fastify.supportedMethods.includes(method)) fastify.addHttpMethod(method)
  }

  hatcheck.noteRoute = ({ method, url, routePath, config }) => {
    // Fastify reports the start page under a prefix once, and serves it with a slash at the end as well.
    for (const pattern of routePath === '' && url !== '/' ? [url, `${url}/`] : [url]) {
      const address: Address = addresses.get(pattern) ?? { url: pattern, methods: new Set(['OPTIONS']) }
      for (const one of [method].flat()) address.methods.add(one)
      address.isHiddenFrom ??= config?.isHiddenFrom
      addresses.set(pattern, address)
    }
  }

  hatcheck.refuseOtherMethods = async (scope) => {
    // The router of Fastify, so that both read an address the same way.
    const router = FindMyWay({ maxParamLength: Infinity })
    for (const address of addresses.values()) router.on('GET', address.url, () => {}, address)

    // A hook, so that the answer does not depend on the body. This scope has no routes: the hook runs where none was found.
    scope.addHook('onRequest', function refuse (request, reply, done) {
      hatcheck.secureHeaders(request, reply)
      const error = hatcheck.refusalOf(request)
      const address = router.find('GET', request.url)?.store as Address | undefined
      if (address !== undefined) (request as Refused)[kPattern] = address.url
      if (error !== null || address === undefined) {
        done(error ?? undefined)
      } else if (address.isHiddenFrom?.(request) === true) {
        hatcheck.handleNotFound(request, reply)
      } else {
        reply.header('allow', [...address.methods].sort().join(', '))
        if (request.method === 'OPTIONS') reply.code(204).send()
        else done(new MethodNotAllowedError())
      }
    })
    scope.setNotFoundHandler(hatcheck.handleNotFound)
  }
}, { name: 'methods', dependencies: ['config', 'security-headers', 'error-handler', 'demo-guard'] })
