import express from 'express'
import session, { MemoryStore, type Session } from 'express-session'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { openExpressStore } from './express-store.js'
import { inRequest } from './gate.js'
import type { Serve } from './resources.js'
import { perform } from './visit.js'

type Values = Session & Record<string, string | null>

/** As the README of express-session registers it; login and logout are those of its section "User login". */
export const serve = (variant: string): Serve => async (resources) => {
  const app = express()
  app.use((_request, _response, next) => { inRequest(next) })
  app.use(session({ secret: resources.secret, resave: false, saveUninitialized: false, store: await openExpressStore(variant, resources, () => new MemoryStore()) }))
  app.use(async (request, response) => {
    // regenerate() puts another session in place of this one.
    const values = (): Values => request.session as Values
    const call = async (name: 'save' | 'regenerate'): Promise<void> => { await promisify(request.session[name].bind(request.session) as (done: (error: unknown) => void) => void)() }
    response.json(await perform(request.originalUrl, {
      user: () => values()['user'] ?? null,
      get: (key) => values()[key] ?? undefined,
      set (key, value) { values()[key] = value },
      async login (user) {
        await call('regenerate')
        values()['user'] = user
        await call('save')
      },
      async logout () {
        values()['user'] = null
        await call('save')
        await call('regenerate')
      },
      touch () { request.session.touch() }
    }))
  })
  // The error handler of Express prints a stack.
  app.set('env', 'test')
  await once(app.listen(resources.port, '127.0.0.1'), 'listening')
}
