import { serveOverHttp } from './http-peer.js'
import type { Serve } from './resources.js'

type Session = Record<string, string> & { save (): Promise<void>, destroy (): void }

/** As the README of iron-session uses it. */
export const serve = (): Serve => async ({ secret, port }) => {
  const { getIronSession } = await import('iron-session' as string)
  await serveOverHttp(port, async (request, response) => {
    const session: Session = await getIronSession(request, response, { password: secret, cookieName: 'session', cookieOptions: { secure: false } })
    return {
      user: () => session['user'] ?? null,
      get: (key) => session[key],
      async set (key, value) {
        Object.assign(session, { [key]: value })
        await session.save()
      },
      async login (user) {
        Object.assign(session, { user })
        await session.save()
      },
      logout () { session.destroy() },
      async touch () { await session.save() }
    }
  })
}
