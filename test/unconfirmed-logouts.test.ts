import { test } from 'tap'
import { bag } from './apps/bag.js'
import { loggedIn, post, see, shop } from './apps/racing-app.js'
import { keyOf } from './helper.js'
import { breakable, kinds, openStore } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

test('a logout that cannot be stored is unconfirmed, and its ticket is refused', async (t) => {
  for (const kind of kinds) {
    t.test(`a logout that cannot be stored is answered as unconfirmed, and its ticket is refused at once, on ${kind}`, async (t) => {
      const inner = openStore(t, kind)
      const { store, down, up } = breakable(inner)
      const fastify = await shop(t, store)
      const { cookieHeader } = await loggedIn(fastify)
      down('remove')
      const logout = await post(fastify, '/logout', cookieHeader)
      t.equal(logout.statusCode, 503)
      t.equal(logout.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
      t.equal(logout.headers['retry-after'], '1')
      t.match(logout.headers['set-cookie'], /^hatcheck=; Max-Age=0; Path=\/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax$/)
      t.not(await inner.read(keyOf(cookieHeader)), null, 'the store still has it')
      t.strictSame(await see(fastify, cookieHeader), { user: null, data: {} })

      up()
      await until('the session is ended as soon as the store works again', async () => await inner.read(keyOf(cookieHeader)) === null)
      t.equal((await see(fastify, cookieHeader)).user, null)
    })
  }

  t.test('a logout that cannot be stored stays unconfirmed when it is repeated', async (t) => {
    const { store, down } = breakable(openStore(t, 'memory:'))
    const fastify = await shop(t, store)
    const { cookieHeader } = await loggedIn(fastify)
    down('remove')
    t.equal((await post(fastify, '/logout', cookieHeader)).statusCode, 503)
    const again = await post(fastify, '/logout', cookieHeader)
    t.equal(again.statusCode, 503, 'it is still not stored, so no answer claims that it is')
    t.equal(again.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
  })

  for (const sync of [true, false]) {
    t.test(`a logout is unconfirmed while the store is down altogether, with ${sync ? 'a sync' : 'an async'} store`, async (t) => {
      const inner = openStore(t, 'memory:')
      const { store, down, up } = breakable(inner, sync)
      const fastify = await shop(t, store)
      const { cookieHeader } = await loggedIn(fastify)
      down()
      const logout = await post(fastify, '/logout', cookieHeader)
      t.equal(logout.statusCode, 503)
      t.equal(logout.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
      t.match(logout.headers['set-cookie'], /^hatcheck=; Max-Age=0/)
      up()
      t.equal((await see(fastify, cookieHeader)).user, null, 'the ticket is refused from then on')
      await until('the session is ended', async () => await inner.read(keyOf(cookieHeader)) === null)
    })
  }

  t.test('a logout is unconfirmed too if the same request has begun a new session', async (t) => {
    const inner = openStore(t, 'memory:')
    const { store, down, up } = breakable(inner)
    const fastify = await shop(t, store)
    fastify.post('/bye', async (request) => {
      await request.logout()
      bag(request)['flash'] = 'bye'
      return 'out'
    })
    const { cookieHeader } = await loggedIn(fastify)
    down('remove')
    const bye = await post(fastify, '/bye', cookieHeader)
    t.equal(bye.statusCode, 503)
    t.equal(bye.json().code, 'HATCHECK_LOGOUT_UNCONFIRMED')
    t.match(bye.headers['set-cookie'], /^hatcheck=; Max-Age=0/)
    up()
    t.equal((await see(fastify, cookieHeader)).user, null)
  })
})
