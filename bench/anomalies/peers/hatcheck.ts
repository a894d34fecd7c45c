import { hatcheck, type SessionStore } from '../../../app.js'
import { resolveConfig } from '../../../plugins/config/resolve.js'
import { openStorage } from '../../../plugins/storage/open.js'
import { serveFastify } from './fastify-peer.js'
import { gated } from './gate.js'
import type { Resources, Serve } from './resources.js'

type Values = Record<string, string | undefined>

export const serve = (variant: string): Serve => async (resources) => {
  await serveFastify(resources.port, async (fastify) => {
    await fastify.register(hatcheck, { secretKey: resources.secret, sessionStore: await storeOf(variant, resources) })
  }, (request) => {
    const values = (): Values => request.session as unknown as Values
    return {
      user: () => request.user?.name ?? null,
      get: (key) => values()[key],
      set (key, value) { values()[key] = value },
      async login (user) { await request.login(user) },
      async logout () { await request.logout() },
      touch () { request.session.touch() },
      async renew () { await request.session.regenerate(['client_name', 'authenticatedAt']) },
      async revokeAll () { await request.server.sessions.revokeUser(request.requireUser().name) }
    }
  })
}

/** Opens the store of a URL as hatcheck does, with a gate before its writes. Returns the URL for sessions in cookies, which have no such store. */
async function storeOf (variant: string, { folder, redis }: Resources): Promise<string | SessionStore> {
  const url = { memory: 'memory:', lmdb: `lmdb:${folder}`, redis, cookie: `cookie:lmdb:${folder}`, 'cookie-redis': `cookie:${redis}` }[variant] ?? ''
  if (url.startsWith('cookie:')) return url
  const { sessions } = await openStorage(resolveConfig({ sessionStore: url }, 'plugin'), { info () {}, warn () {} })
  return gated(sessions as SessionStore, ['create', 'patch', 'touch', 'remove', 'replace', 'removeOfUser'])
}
