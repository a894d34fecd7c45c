import type { FastifyPluginCallback } from 'fastify'
import { createHash } from 'node:crypto'
import { serveFastify } from './fastify-peer.js'
import type { Serve } from './resources.js'

/** The package is imported without its types: they claim `request.session`, which is hatcheck's in this code. */
interface Session {
  get (key: string): string | undefined
  set (key: string, value: string): void
  regenerate (): void
  delete (): void
  touch (): void
}

/** As the README of @fastify/secure-session registers it. */
export const serve = (): Serve => async ({ secret, port }) => {
  const { default: plugin } = await import('@fastify/secure-session' as string)
  await serveFastify(port, async (fastify) => {
    await fastify.register(plugin as FastifyPluginCallback<Record<string, unknown>>, { key: createHash('sha256').update(secret).digest(), cookie: { path: '/' } })
  }, (request) => {
    const session = request.session as unknown as Session
    return {
      user: () => session.get('user') ?? null,
      get: (key) => session.get(key),
      set (key, value) { session.set(key, value) },
      login (user) {
        session.regenerate()
        session.set('user', user)
      },
      logout () { session.delete() },
      touch () { session.touch() }
    }
  })
}
