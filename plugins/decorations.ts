import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ConfigError } from './common/rule.js'
import { DECORATIONS, type Decoration } from './common/decorators.js'

export type Decorations = ReturnType<typeof createDecorations>

/** Adds to requests and instances what an application sees of hatcheck, under the names of the option `decorators`. */
export default fp(async function decorations (fastify) {
  fastify.hatcheck.provide('decorations', createDecorations(fastify))
}, { name: 'decorations', dependencies: ['config'] })

function createDecorations (fastify: FastifyInstance) {
  const { decorators } = fastify.hatcheck.config

  /**
   * Decorates requests or the instance under the name that the application has chosen, or not at all.
   *
   * @param value a method of requests, a value of the instance, or a getter and a setter.
   * @throws ConfigError if the name is taken.
   */
  function decorate (decoration: Decoration, value: ((this: FastifyRequest, ...values: never[]) => unknown) | object | undefined): void {
    const name = decorators[decoration]
    if (name === false) return
    const isOfRequest = DECORATIONS[decoration] === 'request'
    // Fastify lets a scope hide what the scopes around it have, and what Fastify itself has: no chosen name is meant to.
    if (name !== decoration && (isOfRequest ? fastify.hasRequestDecorator(name) : fastify.hasDecorator(name))) throw nameTaken(decoration, name)
    try {
      if (isOfRequest) fastify.decorateRequest<unknown>(name, value)
      else fastify.decorate<unknown>(name, value)
    } catch (cause) {
      // Fastify refuses nothing here but a name that is taken.
      throw Object.assign(nameTaken(decoration, name), { cause })
    }
  }

  return { decorate }
}

function nameTaken (decoration: Decoration, name: string): Error {
  const where = DECORATIONS[decoration] === 'request' ? 'request' : 'fastify'
  return new ConfigError(`${where}.${name} is taken twice, by hatcheck and by another plugin or Fastify. ` +
    `Rename it in the options of hatcheck (decorators: { ${decoration}: '…' }), or leave it out (decorators: { ${decoration}: false }). docs/other-plugins.md has the names beside @fastify/passport and others.`)
}
