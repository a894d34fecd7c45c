import type { FastifyInstance } from 'fastify'
import { test, type Test } from 'tap'
import { changesOf, recordOf, replacementOf } from '../plugins/store/contract/index.js'
import { replaceInTwoSteps } from '../plugins/store/replace-in-two-steps.js'
import type { CompleteSessionStore as SessionStore } from '../plugins/store/traits.js'
import { bag } from './apps/bag.js'
import { cookieOf, loggedIn, post, see, shop } from './apps/racing-app.js'
import { keyOf } from './helper.js'
import { breakable, inTwoSteps, kinds, openStore, stop, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

test('a renewal keeps its user and neither loses nor revives a session', async (t) => {
  const everything = ['client_name', 'authenticatedAt', 'apple', 'pear', 'plum'] as never[]
  const renewing = async (t: Test, store: SessionStore): Promise<FastifyInstance> => {
    const fastify = await shop(t, store)
    fastify.post('/renew', async (request) => {
      bag(request)['own'] = 'renewed'
      await request.session.regenerate([...everything, 'own' as never])
      return 'renewed'
    })
    fastify.post('/save', async (request) => {
      await request.session.regenerate(everything)
      await request.session.save()
      return 'saved'
    })
    fastify.post('/drop/plum', async (request) => delete bag(request)['plum'])
    return fastify
  }
  /** Pauses the first call of this name, and none after it. */
  const first = (name: string, pause: ReturnType<typeof stop>) => {
    let held = false
    return (call: string): Promise<void> | void => {
      if (call !== name || held) return undefined
      held = true
      return pause.here()
    }
  }

  for (const kind of kinds) {
    t.test(`a renewal keeps what another request changes meanwhile, on ${kind}`, async (t) => {
      const pause = stop()
      const store = openStore(t, kind)
      let renews = false
      const look = first('remove', pause)
      const fastify = await renewing(t, inTwoSteps(watched(store, (call) => renews ? look(call) : undefined)))
      const { cookieHeader } = await loggedIn(fastify)
      for (const key of ['apple', 'plum']) await post(fastify, `/set/${key}`, cookieHeader)
      renews = true
      const renewal = post(fastify, '/renew', cookieHeader)
      await pause.reached
      for (const url of ['/set/pear', '/set/own', '/drop/plum']) t.equal((await post(fastify, url, cookieHeader)).statusCode, 200)
      pause.go()
      const { user, data } = await see(fastify, cookieOf(await renewal))
      t.equal(user, 'Harry')
      t.match(data, { apple: 'apple', pear: 'pear', own: 'renewed' })
      t.notOk('plum' in data)
      t.equal((await see(fastify, cookieHeader)).user, null)
      t.equal((await store.ofUser('Harry')).length, 1)
    })

    for (const call of ['create', 'remove', 'patch']) {
      t.test(`a renewal does not survive the end of all sessions of the user before its ${call}, on ${kind}`, async (t) => {
        const pause = stop()
        const store = openStore(t, kind)
        let renews = false
        const looks = [first(call, pause)]
        const fastify = await renewing(t, inTwoSteps(watched(store, (call) => {
          for (const look of renews ? looks : []) {
            const held = look(call)
            if (held !== undefined) return held
          }
          return undefined
        })))
        const { cookieHeader } = await loggedIn(fastify)
        renews = true
        const write = stop()
        if (call === 'patch') looks.push(first('remove', write))
        const renewal = post(fastify, '/renew', cookieHeader)
        if (call === 'patch') {
          await write.reached
          const key = keyOf(cookieHeader)
          await store.patch(key, { set: { pear: '1' }, remove: [], seenAt: 0, expiresAt: 0 })
          write.go()
        }
        await pause.reached
        await store.removeOfUser('Harry')
        pause.go()
        t.equal((await renewal).headers['set-cookie'], undefined)
        t.equal(await store.count(), 0)
      })
    }

    t.test(`a renewal fails with a 503 if the old ID cannot be ended, and the new one ends, on ${kind}`, async (t) => {
      const inner = openStore(t, kind)
      const { store, down, up } = breakable(inner)
      const fastify = await renewing(t, inTwoSteps(store))
      const { cookieHeader } = await loggedIn(fastify)
      down('remove')
      const renewal = await post(fastify, '/renew', cookieHeader)
      t.equal(renewal.statusCode, 503)
      t.equal(renewal.headers['set-cookie'], undefined)
      up()
      t.equal((await see(fastify, cookieHeader)).user, 'Harry')
      await until('the new session has ended', async () => (await inner.ofUser('Harry')).length === 1)
    })
  }

  t.test('save() is refused once if the session ended during the renewal', async (t) => {
    const pause = stop()
    const store = openStore(t, 'memory:')
    const fastify = await renewing(t, inTwoSteps(watched(store, (call) => {
      if (call === 'create' && store.count() === 1) return pause.here()
      return undefined
    })))
    const { cookieHeader } = await loggedIn(fastify)
    const saving = post(fastify, '/save', cookieHeader)
    await pause.reached
    await store.removeOfUser('Harry')
    pause.go()
    const { statusCode, headers } = await saving
    t.equal(statusCode, 409)
    t.equal(headers['set-cookie'], undefined)
    t.equal(store.count(), 0)
  })

  t.test('a renewal fails with a 503 if the new ID already exists, or cannot be stored', async (t) => {
    for (const refusal of ['exists', 'fails']) {
      const store = openStore(t, 'memory:')
      let renews = false
      const fastify = await renewing(t, inTwoSteps({
        ...watched(store, () => {}),
        create (key, record) {
          if (!renews) return store.create(key, record)
          if (refusal === 'fails') throw new Error('disk full')
          return false
        }
      }))
      const { cookieHeader } = await loggedIn(fastify)
      renews = true
      const { statusCode, headers } = await post(fastify, '/renew', cookieHeader)
      t.equal(statusCode, 503)
      t.equal(headers['set-cookie'], undefined)
      t.equal((await see(fastify, cookieHeader)).user, 'Harry', 'nothing has changed')
      t.equal(store.count(), 1)
    }
  })
})

test('a renewal whose session has ended leaves nothing behind, even if ending the new ID fails at first', async (t) => {
  const inner = openStore(t, 'memory:')
  let removals = 0
  const store = watched(inner, async (call, key) => {
    if (call !== 'remove') return
    removals++
    if (removals === 1) await inner.remove(key as string)
    if (removals === 2) throw new Error('the store is down')
  }, false)
  const fastify = await shop(t, inTwoSteps(store))
  fastify.post('/new-id', async (request) => { await request.session.regenerate(['client_name', 'authenticatedAt']) })
  const { cookieHeader } = await loggedIn(fastify)
  const answer = await post(fastify, '/new-id', cookieHeader)
  t.equal(answer.statusCode, 503)
  t.equal(answer.headers['set-cookie'], undefined)
  t.equal((await see(fastify, cookieHeader)).user, null)
  await until('the session without a client has ended as well', async () => await inner.count() === 0)
})

test('a replacement in two steps whose successor has ended between them has no successor', async (t) => {
  const store = openStore(t, 'memory:')
  await store.create('old', recordOf({ user: 'Harry' }))
  const replaced = await replaceInTwoSteps({
    read: (key) => store.read(key),
    create: (...args) => store.create(...args),
    patch: (...args) => store.patch(...args),
    async remove (key, nextKey) {
      // Another request changes the session, and then a third one ends every session of the user.
      await store.patch(key, changesOf({ set: { late: '1' } }))
      const last = await store.remove(key, nextKey)
      await store.removeOfUser('Harry')
      return last
    }
  }, 'old', 'next', replacementOf())
  t.strictSame(replaced, { outcome: 'gone' })
})
