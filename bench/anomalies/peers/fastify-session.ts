import cookie from '@fastify/cookie'
import type { Store } from 'express-session'
import type { FastifyPluginCallback } from 'fastify'
import { openExpressStore } from './express-store.js'
import { serveFastify } from './fastify-peer.js'
import type { Serve } from './resources.js'

/** The package is imported without its types: they claim `request.session`, which is hatcheck's in this code. */
interface Session {
  get (key: string): string | undefined
  set (key: string, value: string): void
  regenerate (keys?: string[]): Promise<void>
  destroy (): Promise<void>
  touch (): void
}

/** As the README of @fastify/session registers it. */
export const serve = (variant: string): Serve => async (resources) => {
  const { default: plugin } = await import('@fastify/session' as string)
  await serveFastify(resources.port, async (fastify) => {
    await fastify.register(cookie)
    await fastify.register(plugin as FastifyPluginCallback<Record<string, unknown>>, {
      secret: resources.secret,
      cookie: { secure: false },
      saveUninitialized: false,
      store: await openExpressStore(variant, resources, () => new plugin.MemoryStore() as Store)
    })
  }, (request) => {
    // regenerate() puts another session in place of this one.
    const session = (): Session => request.session as unknown as Session
    return {
      user: () => session().get('user') ?? null,
      get: (key) => session().get(key),
      set (key, value) { session().set(key, value) },
      async login (user) {
        await session().regenerate()
        session().set('user', user)
      },
      async logout () { await session().destroy() },
      touch () { session().touch() },
      async renew () { await session().regenerate(['user']) }
    }
  })
}
