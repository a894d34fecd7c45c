import type { FastifyRequest } from 'fastify'
import { UnsupportedError } from '../../common/unsupported.js'
import { replyOf } from './request-session.js'

interface Accessors<T> {
  getter (this: FastifyRequest): T
  setter (this: FastifyRequest, value: T): void
}

/**
 * Makes a decoration that is read only, apart from a scope that decorates its requests with the same name: Fastify sets such a
 * decoration on each request before any hook runs. After that, an assignment is a mistake.
 *
 * @param rule what to do in place of an assignment
 */
export function accessors<T> (name: `request.${string}`, get: (request: FastifyRequest) => T, rule: string): Accessors<T> {
  return {
    getter () { return get(this) },
    setter (value) {
      if (replyOf(this) !== undefined) throw new UnsupportedError(`${name} = …`, rule)
      Object.defineProperty(this, name.slice('request.'.length), { value, writable: true, enumerable: true, configurable: true })
    }
  }
}
