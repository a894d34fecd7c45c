import type { FastifyRequest } from 'fastify'
import { UnsupportedError } from '../../common/unsupported.js'
import { replyOf } from './request-session.js'

/**
 * Makes a decoration that is read only, apart from a scope that decorates its requests with the same name: Fastify sets such a
 * decoration on each request before any hook runs. After that, an assignment is a mistake.
 *
 * @param rule what to do in place of an assignment
 */
export function accessors<T> (name: `request.${string}`, get: (request: FastifyRequest) => T, rule: string) {
  return {
    getter (this: FastifyRequest): T { return get(this) },
    setter (this: FastifyRequest, value: T): void {
      if (replyOf(this) !== undefined) throw new UnsupportedError(`${name} = …`, rule)
      Object.defineProperty(this, name.slice('request.'.length), { value, writable: true, enumerable: true, configurable: true })
    }
  }
}
