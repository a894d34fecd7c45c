import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AddressInfo } from 'node:net'
import { homePage } from '../page.js'
import type { Contender, Resources } from './contender.js'

/** Makes the start of a contender that is a Fastify application. */
export function onFastify (setUp: (fastify: FastifyInstance, resources: Resources) => Promise<void>): Contender['start'] {
  return async (resources) => {
    const { default: Fastify } = await import('fastify')
    const fastify = Fastify({ logger: false, pluginTimeout: 0 }) as unknown as FastifyInstance
    await setUp(fastify, resources)
    await fastify.listen({ host: '127.0.0.1', port: 0 })
    return {
      port: (fastify.server.address() as AddressInfo).port,
      close: async () => { await fastify.close() }
    }
  }
}

export function sendPage (reply: FastifyReply, name: string | undefined): void {
  reply.type('text/html; charset=utf-8').send(homePage(name))
}

/** Answers the question whether the visitor is logged in, as `/verify` of hatcheck does. */
export function sendVerdict (reply: FastifyReply, isLoggedIn: boolean): void {
  reply.code(isLoggedIn ? 204 : 401).send()
}

/** The values of a session that have no types. */
export function valuesOf ({ session }: { session: object }): { visits?: number } {
  return session
}

/** The body of a login. */
export interface LoginBody { Body: { client_name: string } }

/** The body of a change. */
export interface ChangeBody { Body: { visits: number } }
