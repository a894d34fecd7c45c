import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ConfigError } from './common/rule.js'
import { DECORATIONS, decorationsOf, type Decoration, type Names, type Owner } from './common/decorators.js'

export type Decorations = ReturnType<typeof createDecorations>

const METHODS = { request: 'decorateRequest', instance: 'decorate' } as const

/** Adds to requests and instances what an application sees of hatcheck, under the names of the option `decorators`. */
export default fp(async function decorations (fastify) {
  fastify.hatcheck.provide('decorations', createDecorations(fastify))
}, { name: 'decorations', dependencies: ['config'] })

function createDecorations (fastify: FastifyInstance) {
  const { decorators } = fastify.hatcheck.config
  explainClashes(fastify, 'request', decorators)
  explainClashes(fastify, 'instance', decorators)

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
    if (name !== decoration && (isOfRequest ? fastify.hasRequestDecorator(name) : fastify.hasDecorator(name))) throw clashOf(decoration, name)
    if (isOfRequest) fastify.decorateRequest<unknown>(name, value)
    else fastify.decorate<unknown>(name, value)
  }

  return { decorate }
}

/** Says what to do when another plugin decorates the same scope with one of the names, before hatcheck or after it. */
function explainClashes (fastify: FastifyInstance, owner: Owner, names: Names): void {
  const decorationByName = new Map<unknown, Decoration>(decorationsOf(owner).map((decoration) => [names[decoration], decoration]))
  const { [METHODS[owner]]: decorate } = fastify
  Object.defineProperty(fastify, METHODS[owner], {
    ...Object.getOwnPropertyDescriptor(fastify, METHODS[owner]),
    value: function (this: FastifyInstance, ...values: unknown[]): unknown {
      try {
        return Reflect.apply(decorate, this, values)
      } catch (error) {
        const decoration = decorationByName.get(values[0])
        if (this !== fastify || decoration === undefined || !isClash(error)) throw error
        throw Object.assign(clashOf(decoration, String(values[0])), { cause: error })
      }
    }
  })
}

function isClash (error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'FST_ERR_DEC_ALREADY_PRESENT'
}

function clashOf (decoration: Decoration, name: string): Error {
  const where = DECORATIONS[decoration] === 'request' ? 'request' : 'fastify'
  return new ConfigError(`${where}.${name} is taken twice, by hatcheck and by another plugin or Fastify. ` +
    `Rename it in the options of hatcheck (decorators: { ${decoration}: '…' }), or leave it out (decorators: { ${decoration}: false }). docs/neighbours.md has the names beside @fastify/passport and others.`)
}
