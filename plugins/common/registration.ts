import { createError } from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import { FIXED_NAMES } from './decorators.js'
import { ConfigError } from './rule.js'

/** The route uses a function of hatcheck on a server without it. A guard lets nobody in. */
export const NotRegisteredError = createError<[name: string]>('HATCHECK_NOT_REGISTERED',
  '%s needs hatcheck: register it with "app.register(hatcheck, …)" in the scope of this route or around it.', 500)

/** Marks the sessions of hatcheck for `hatcheck/testing`. A symbol of the process, since a test and a bundled application load the code twice. */
export const kOutside = Symbol.for('hatcheck.outside')

/** The decorations of `@fastify/cookie`, which hatcheck registers in a scope of its own if the application has not registered it. */
const COOKIE_NAMES = { request: ['cookies'], instance: ['serializeCookie', 'parseCookie'], reply: ['cookie', 'setCookie', 'clearCookie'] }

/**
 * Refuses a scope in which hatcheck is registered, or in which a name is taken that hatcheck cannot do without.
 *
 * @param instanceNames the names of those on the instance
 * @throws ConfigError
 */
export function assertRegistrable (fastify: FastifyInstance, instanceNames: readonly string[] = FIXED_NAMES.instance): void {
  const { sessions } = fastify as { sessions?: unknown }
  if (typeof sessions === 'object' && sessions !== null && kOutside in sessions) {
    throw new ConfigError('hatcheck is already registered in this scope or in one around it. Register it once, or once in each of two sibling scopes.')
  }
  for (const name of FIXED_NAMES.request) if (fastify.hasRequestDecorator(name)) throw taken(`request.${name}`, 'hatcheck has no other name for it')
  for (const name of instanceNames) if (fastify.hasDecorator(name)) throw taken(`fastify.${name}`, 'hatcheck has no other name for it')
  if (fastify.hasPlugin('@fastify/cookie')) return
  const reason = 'hatcheck writes cookies with @fastify/cookie, which needs it'
  for (const name of COOKIE_NAMES.request) if (fastify.hasRequestDecorator(name)) throw taken(`request.${name}`, reason)
  for (const name of COOKIE_NAMES.reply) if (fastify.hasReplyDecorator(name)) throw taken(`reply.${name}`, reason)
  for (const name of COOKIE_NAMES.instance) if (fastify.hasDecorator(name)) throw taken(`fastify.${name}`, reason)
}

function taken (name: string, reason: string): Error {
  return new ConfigError(`${name} is taken by another plugin, and ${reason}. Register the two in sibling scopes, or leave that plugin out.`)
}
