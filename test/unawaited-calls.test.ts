import type { FastifyReply, FastifyRequest } from 'fastify'
import { test } from 'tap'
import { requireLogin } from '../app.js'
import { STORES, appOnPort } from './apps/app-on-port.js'
import { bag, type Bag } from './apps/bag.js'
import { turn } from './helper.js'
import { openStore, watched } from './stores/watched-store.js'
import { until } from './time/loop-clock.js'

test('while the store is down, no call to it causes an unhandled rejection', async (t) => {
  for (const isSync of [true, false]) {
    let isDown = false
    const sessions = openStore(t, 'memory:')
    const sessionStore = watched(sessions, () => { if (isDown) throw new Error('connect ECONNREFUSED') }, isSync)
    let attempt: ((request: FastifyRequest) => unknown) = () => {}
    const h = await appOnPort(t, (fastify) => {
      fastify.get('/x', async (request) => {
        await attempt(request)
        return 'x'
      })
    }, { options: { sessionStore }, before (fastify) { fastify.addHook('onRequest', async (request) => { if (request.headers['x-early'] !== undefined) await attempt(request) }) } })
    const { cookie } = await h.ask('/in/harry')
    isDown = true
    const what: Record<string, (request: FastifyRequest) => unknown> = {
      'loadSession()': (request) => request.loadSession(),
      'loadSession() that is not awaited': (request) => { request.loadSession() },
      'request.login() that is not awaited': (request) => { request.login('ann') },
      'request.logout() that is not awaited': (request) => { request.logout() },
      'request.flashes() that is not awaited': (request) => { request.flashes() },
      'requireLogin() that is not awaited': (request) => { requireLogin(request) }
    }
    for (const [name, work] of Object.entries(what)) {
      attempt = work
      for (const headers of [{}, { 'x-early': '1' }]) t.equal((await h.ask('/x', cookie, { headers: headers as Record<string, string> })).status, 503, `${name}, ${isSync ? 'at once' : 'with promises'}`)
    }
    attempt = async (request) => {
      await t.rejects(request.loadSession())
      isDown = false
      // The logout above is not stored yet.
      t.equal((await request.loadSession()).isSaved(), false, 'another call reads again')
    }
    t.equal((await h.ask('/x', cookie)).status, 200)
  }
})

test('a call that is not awaited runs, and its failure becomes the error of the response', async (t) => {
  const errors: Bag[] = []
  const calls: Record<string, (request: FastifyRequest) => unknown> = {
    'save()': (request) => { request.session.save() },
    'save() twice': (request) => {
      request.session.save()
      request.session.save()
    },
    'save() with a callback': (request) => { request.session.save(() => {}) },
    'regenerate() and save()': (request) => {
      request.session.regenerate(['n'])
      request.session.save()
    },
    'login()': (request) => { request.login('ann') },
    'login() twice': (request) => {
      request.login('ann')
      request.login('ann')
    },
    'login() after save()': (request) => {
      request.session.save()
      request.login('ann')
    },
    'login().then()': (request) => { request.login('ann').then(() => { errors.push({}) }) }
  }
  const ends: Record<string, (reply: FastifyReply) => unknown> = {
    text: () => 'x',
    redirect: (reply) => reply.redirect('/me'),
    throw () { throw Object.assign(new Error('on purpose'), { statusCode: 418 }) }
  }
  const expected: Record<string, number> = { text: 200, redirect: 302, throw: 418 }
  for (const store of STORES) {
    const h = await appOnPort(t, (fastify) => {
      Object.values(calls).forEach((call, i) => {
        for (const [end, answer] of Object.entries(ends)) {
          fastify.get(`/${i}/${end}`, async (request, reply) => {
            bag(request)['n'] = 2
            call(request)
            return answer(reply)
          })
        }
      })
      const failing: Record<string, (request: FastifyRequest) => unknown> = {
        login: (request) => { request.login('') },
        'login-then': (request) => { request.login('').then(() => {}) },
        'login-finally': (request) => { request.login('').finally(() => {}) },
        save: (request) => {
          bag(request)['big'] = 'x'.repeat(20_000)
          request.session.save()
        },
        'throwing-callback': (request) => {
          request.session.save(() => { throw new Error('in a callback') })
        }
      }
      for (const [name, fail] of Object.entries(failing)) {
        fastify.get(`/fails/${name}`, async (request) => {
          fail(request)
          return 'x'
        })
        fastify.get(`/fails-raw/${name}`, (request, reply) => {
          reply.hijack()
          fail(request)
          reply.raw.end('x')
        })
      }
      fastify.get('/guarded', async (request) => {
        requireLogin(request)
        return 'the secret'
      })
    }, { store })
    for (const [i, call] of Object.keys(calls).entries()) {
      for (const end of Object.keys(ends)) {
        for (const before of [undefined, (await h.ask('/in/harry')).cookie]) {
          const answer = await h.ask(`/${i}/${end}`, before)
          t.equal(answer.status, expected[end], `${call}, then ${end}, in a ${before === undefined ? 'new' : 'stored'} session, ${store}`)
          t.equal((await h.me(answer.cookie)).n, call.startsWith('login') && before !== undefined ? null : 2)
        }
      }
    }
    for (const [name, status] of Object.entries({ login: 500, 'login-then': 500, 'login-finally': 500, save: 413, 'throwing-callback': 200 })) {
      t.equal((await h.ask(`/fails/${name}`)).status, status, `${name} that fails`)
      h.log.length = 0
      t.equal((await h.ask(`/fails-raw/${name}`)).body, 'x')
      const failures = (): number => h.log.filter(({ level }) => level === 50).length
      await until(`${name} has failed`, () => failures() > 0)
      await turn()
      t.equal(failures(), 1, `${name} that fails is one error in the log where Fastify does not answer`)
    }
    const guarded = await h.ask('/guarded')
    t.equal(guarded.status, 401, 'a guard that is not awaited keeps visitors out all the same')
    t.notMatch(guarded.body, 'the secret')
    t.equal((await h.ask('/guarded', (await h.ask('/in/harry')).cookie)).body, 'the secret')
  }
})
