import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import { Client, type Answer } from '../clients/client.js'
import { buildHost } from '../helper.js'
import { bag, type Bag } from './bag.js'

export type Handler = (session: Bag, request: FastifyRequest, reply: FastifyReply) => unknown

export interface Visit {
  response: Answer
  /** The handler's return value, as it was. */
  value: unknown
  /** The Set-Cookie header. */
  cookie: string | undefined
}

/** An application whose routes are the handlers of each test. */
export class HandlerApp {
  readonly fastify: FastifyInstance
  readonly #handlers: Array<(request: FastifyRequest, reply: FastifyReply) => Promise<unknown>> = []

  private constructor (fastify: FastifyInstance) {
    this.fastify = fastify
    fastify.get('/untouched', async () => 'untouched')
    fastify.get<{ Params: { at: string } }>('/run/:at', async (request, reply) => await this.#handlers[Number(request.params.at)]?.(request, reply))
  }

  static async start (t: Test, options: HatcheckOptions = {}, server: FastifyServerOptions = {}): Promise<HandlerApp> {
    return new HandlerApp(await buildHost(t, options, server))
  }

  /** Runs a handler in a request with this visitor's cookie. */
  async run (client: Client, handler: Handler, headers: Record<string, string> = {}): Promise<Visit> {
    let value: unknown
    const at = this.#handlers.push(async (request, reply) => {
      value = await handler(bag(request), request, reply)
      return 'done'
    }) - 1
    const response = await client.get(`/run/${at}`, headers)
    return { response, value, cookie: response.headers['set-cookie'] as string | undefined }
  }

  visitor (): Client & { run: (handler: Handler, headers?: Record<string, string>) => Promise<Visit> } {
    const client = new Client(this.fastify)
    return Object.assign(client, { run: (handler: Handler, headers?: Record<string, string>) => this.run(client, handler, headers) })
  }
}

export const login: Handler = (_session, request) => request.login('Harry')
export const logout: Handler = (_session, request) => request.logout()
export const currentUser: Handler = (_session, request) => request.user?.name ?? null
export const dataOf: Handler = (session) => ({ ...session })
