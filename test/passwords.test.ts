import type { FastifyInstance } from 'fastify'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { test } from 'tap'
import type { SessionRecord } from '../plugins/store/sessions.js'
import { OLD, change, loggedIn, service, store } from './apps/password-service.js'
import { AS_BROWSER, AS_PROGRAM } from './clients/accept.js'
import { Client } from './clients/client.js'
import { needs } from './helper.js'
import { startRedis } from './programs/redis.js'
import { stop } from './stores/watched-store.js'
import './time/cheap-hashes.js'
import { until } from './time/loop-clock.js'

const NEW = 'staple of something else'
const OTHER = 'a third one, not yet used'

const DONE = 'Your password has been changed, and all your other sessions have ended.'

for (const kind of ['memory:', 'lmdb:', 'redis:'] as const) {
  test(`a password change keeps the current session and ends all others, on ${kind}`, kind === 'redis:' ? needs('redis-server') : {}, async (t) => {
    const sessionStore = kind === 'redis:' ? (await startRedis(t)).url : kind === 'lmdb:' ? `lmdb:${t.testdir()}` : kind
    const fastify = await service(t, { sessionStore })
    await fastify.accounts?.add('Sally', OLD)
    const [phone, desk, tablet, sally] = [await loggedIn(fastify), await loggedIn(fastify), await loggedIn(fastify), await loggedIn(fastify, 'Sally')]
    await phone.get('/set/cart/apple')
    await phone.get('/flash/see-you')
    const before = phone.cookieHeader
    const old = await store(fastify).ofUser('Harry')

    const response = await phone.post('/password', { current_password: OLD, new_password: NEW, new_password_again: NEW }, AS_BROWSER)
    t.equal(response.statusCode, 303)
    t.equal(response.headers.location, '/')
    t.equal(response.headers['cache-control'], 'no-store')
    t.not(phone.cookieHeader, before)
    t.match((await phone.get('/', AS_BROWSER)).body, DONE)
    t.notMatch((await phone.get('/', AS_BROWSER)).body, DONE, 'the notice is shown once')
    t.match((await phone.get('/')).body, 'Harry Your account is logged in.')
    t.strictSame((await phone.get('/data')).json(), { cart: 'apple', flashes: ['see-you'] }, 'the values are kept')
    for (const client of [desk, tablet]) t.match((await client.get('/')).body, 'You are not logged in')
    t.match((await phone.get('/', { cookie: before })).body, 'You are not logged in', 'the old ID is ended')
    t.match((await sally.get('/')).body, 'Sally Your account is logged in.', 'no other user is logged out')
    const now = await store(fastify).ofUser('Harry')
    t.equal(now.length, 1)
    t.notOk(old.some(({ key }) => key === now[0]?.key))

    t.equal((await new Client(fastify).login('Harry', OLD)).statusCode, 401)
    t.equal((await new Client(fastify).login('Harry', NEW)).statusCode, 303)
    t.match((await change(phone, NEW, OTHER)).json(), { ended: 1 }, 'and again')
  })
}

test('a password change needs the current password', async (t) => {
  const logged = lines()
  const fastify = await service(t, {}, logged.stream)
  const [harry, other] = [await loggedIn(fastify), await loggedIn(fastify)]
  const { cookieHeader } = harry
  const account = async (): Promise<string | undefined> => (await fastify.accounts?.list())?.[0]?.passwordHash
  const before = await account()
  for (const [fields, status, detail] of [
    [{ current_password: NEW, new_password: OTHER }, 403, 'The current password is wrong.'],
    [{ current_password: `${OLD} `, new_password: OTHER }, 403, 'The current password is wrong.'],
    [{ new_password: OTHER }, 400, 'The current password is missing.'],
    [{ current_password: '', new_password: OTHER }, 400, 'The current password is missing.'],
    [{ current_password: OLD }, 400, 'The new password is missing.'],
    [{ current_password: OLD, new_password: '' }, 400, 'The new password is missing.'],
    [{ current_password: OLD, new_password: OTHER, new_password_again: NEW }, 400, 'The two new passwords are not the same.'],
    [{ current_password: OLD, new_password: OTHER, new_password_again: '' }, 400, 'The two new passwords are not the same.'],
    [{ current_password: OLD, new_password: OLD }, 400, 'The new password is the current one.'],
    [{ current_password: OTHER, new_password: OTHER }, 400, 'The new password is the current one.'],
    [{ current_password: 'a'.repeat(1_025), new_password: OTHER }, 400, 'A password can have at most 1024 bytes.'],
    [{ current_password: 'a long password é'.normalize('NFC'), new_password: 'a long password é'.normalize('NFD') }, 400, 'The new password is the current one.'],
    [{ current_password: OLD, new_password: [OTHER] }, 400, 'The field new_password must be text, and must appear once.'],
    [{ current_password: { a: OLD }, new_password: OTHER }, 400, 'The field current_password must be text, and must appear once.'],
    [[OLD, OTHER], 400, 'The current password is missing.']
  ] as const) {
    const response = await harry.send({ method: 'POST', url: '/password', payload: fields as object, headers: AS_PROGRAM })
    t.match(response.json(), { status, detail })
    t.equal(response.statusCode, status)
    t.match(response.headers['content-type'], 'application/problem+json')
    t.equal(response.headers['set-cookie'], undefined)
  }
  t.equal(await account(), before)
  t.equal(harry.cookieHeader, cookieHeader)
  for (const client of [harry, other]) t.match((await client.get('/')).body, 'Harry Your account is logged in.')

  await change(harry, OLD, NEW)
  const events = logged.all().filter(({ event }) => String(event).startsWith('authn_password'))
  t.match(events[0], { event: 'authn_password_change_fail', user: 'Harry', reason: 'current-password' })
  t.match(events[2], { event: 'authn_password_change_fail', user: 'Harry', reason: 'new-password' })
  t.match(events.at(-1), { event: 'authn_password_change', user: 'Harry' })
  t.equal(events.length, 16, 'each once')
  for (const password of [OLD, NEW, OTHER]) t.notMatch(logged.text(), password)
})

test('a password change keeps the choice "Keep me signed in"', async (t) => {
  const fastify = await service(t)
  for (const [permanent, current, next] of [['on', OLD, NEW], ['', NEW, OLD]] as const) {
    const harry = new Client(fastify)
    await harry.post('/login', { client_name: 'Harry', password: current, permanent })
    const cookie = String((await change(harry, current, next)).headers['set-cookie'])
    t.equal(/Max-Age=2592000/.test(cookie), permanent === 'on', cookie)
    t.match(await store(fastify).ofUser('Harry'), [{ record: { permanent: permanent === 'on' } }])
  }
})

test('a session that begins with the old password during a change is ended', async (t) => {
  for (const moment of ['the check of the password', 'the session is stored', 'the last look at the account']) {
    await t.test(`a login that waits before ${moment} gets no session with the old password`, async (t) => {
      const fastify = await service(t)
      const harry = await loggedIn(fastify)
      const pause = stop()
      holdUp(fastify, moment, pause.here)
      const thief = new Client(fastify)
      const login = thief.login('Harry', OLD)
      await pause.reached
      t.equal((await change(harry, OLD, NEW)).statusCode, 200)
      pause.go()
      t.equal((await login).statusCode, 401)
      t.match((await thief.get('/')).body, 'You are not logged in')
      t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
      t.equal((await store(fastify).ofUser('Harry')).length, 1)
    })
  }

  t.test('a session whose ID changes at the same time is ended', async (t) => {
    const fastify = await service(t)
    const [harry, thief] = [await loggedIn(fastify), await loggedIn(fastify)]
    const pause = stop()
    holdUp(fastify, 'the session is stored', pause.here)
    const rotation = thief.get('/rotate')
    await pause.reached
    t.equal((await change(harry, OLD, NEW)).statusCode, 200)
    pause.go()
    await rotation
    t.match((await thief.get('/')).body, 'You are not logged in')
    t.equal((await store(fastify).ofUser('Harry')).length, 1)
  })
})

test('of two simultaneous changes one succeeds, and the other changes nothing', async (t) => {
  const fastify = await service(t)
  const [first, second] = [await loggedIn(fastify), await loggedIn(fastify)]
  const pause = stop()
  holdUp(fastify, 'the check of the password', pause.here)
  const late = change(second, OLD, OTHER)
  await pause.reached
  t.equal((await change(first, OLD, NEW)).statusCode, 200)
  pause.go()
  t.match((await late).json(), { status: 409, code: 'HATCHECK_SESSION_GONE', detail: /The password has not been changed\./ })
  t.equal((await new Client(fastify).login('Harry', OTHER)).statusCode, 401)
  t.match((await first.get('/')).body, 'Harry Your account is logged in.')
  t.match((await second.get('/')).body, 'You are not logged in')
})

test('a change that another change overtakes keeps no session', async (t) => {
  for (const overtake of ['setPassword', 'disable'] as const) {
    const fastify = await service(t)
    const harry = await loggedIn(fastify)
    const pause = stop()
    holdUp(fastify, 'the session is stored', pause.here)
    const changing = change(harry, OLD, NEW)
    await pause.reached
    if (overtake === 'setPassword') await fastify.accounts?.setPassword('Harry', OTHER)
    else await fastify.accounts?.disable('Harry')
    pause.go()
    t.match((await changing).json(), { status: 409, code: 'HATCHECK_SESSION_GONE', detail: /The password has been changed, but immediately afterwards the account was disabled or its password was changed again/ })
    t.match((await harry.get('/')).body, 'You are not logged in')
    t.strictSame(await store(fastify).ofUser('Harry'), [])
  }
})

test('a session that ends during its password change stays ended, and the answer says whether the password changed', async (t) => {
  const ends: Record<string, (fastify: FastifyInstance, harry: Client) => Promise<unknown>> = {
    'logged out': (_, harry) => harry.post('/logout'),
    revoked: (fastify) => fastify.sessions.revokeUser('Harry')
  }
  for (const [how, end] of Object.entries(ends)) {
    for (const moment of ['the check of the password', 'the session is stored'] as const) {
      await t.test(`a session that is ${how} at ${moment} stays ended`, async (t) => {
        const fastify = await service(t)
        const [harry, other] = [await loggedIn(fastify), await loggedIn(fastify)]
        const copy = new Client(fastify)
        for (const [name, value] of harry.cookies) copy.cookies.set(name, value)
        const pause = stop()
        holdUp(fastify, moment, pause.here)
        const changing = change(harry, OLD, NEW)
        await pause.reached
        await end(fastify, copy)
        pause.go()
        const answer = await changing
        const isChanged = moment === 'the session is stored'
        t.match(answer.json(), { status: 409, code: 'HATCHECK_SESSION_GONE', detail: isChanged ? /The password has been changed, and every session/ : /The password has not been changed\./ })
        t.match((await harry.get('/')).body, 'You are not logged in')
        t.equal((await new Client(fastify).login('Harry', isChanged ? NEW : OLD)).statusCode, 303)
        t.equal((await new Client(fastify).login('Harry', isChanged ? OLD : NEW)).statusCode, 401)
        t.match((await other.get('/')).body, how === 'revoked' || isChanged ? 'You are not logged in' : 'Harry Your account is logged in.')
      })
    }
  }

  await t.test('the page of a browser leads to the login', async (t) => {
    const fastify = await service(t)
    const harry = await loggedIn(fastify)
    const pause = stop()
    holdUp(fastify, 'the session is stored', pause.here)
    const changing = change(harry, OLD, NEW, { accept: 'text/html' })
    await pause.reached
    await fastify.sessions.revokeUser('Harry')
    pause.go()
    const { statusCode, body } = await changing
    t.equal(statusCode, 409)
    t.match(body, '<a class="button" href="/login">Log in your account here</a>')
  })

  await t.test('a user whom a handler removes from the session is not logged in again', async (t) => {
    const fastify = await service(t)
    const harry = await loggedIn(fastify)
    const { store: sessions } = fastify.sessions
    const pause = stop()
    holdUp(fastify, 'the session is stored', pause.here)
    const changing = change(harry, OLD, NEW)
    await pause.reached
    const [{ key, record }] = await sessions.ofUser('Harry') as [{ key: string, record: SessionRecord }]
    await sessions.patch(key, { set: { theme: '"dark"' }, remove: ['client_name', 'authenticatedAt'], user: null, seenAt: record.seenAt, expiresAt: record.expiresAt })
    pause.go()
    t.match((await changing).json(), { status: 409, detail: /The password has been changed/ })
    t.match((await harry.get('/')).body, 'You are not logged in')
    t.strictSame(await sessions.ofUser('Harry'), [])
  })
})

for (const moment of ['the password is changed', 'the session is stored'] as const) {
  test(`if the client goes away when ${moment}, every session of the user ends, since no new ID can reach it`, async (t) => {
    const fastify = await service(t)
    await fastify.listen({ host: '127.0.0.1', port: 0 })
    const [harry, other] = [await loggedIn(fastify), await loggedIn(fastify)]
    const [pause, left] = [stop(), new Promise<void>((resolve) => {
      fastify.server.once('connection', (socket) => { socket.once('close', () => { resolve() }) })
    })]
    const { accounts } = fastify.hatcheck.storage
    const update = accounts?.update.bind(accounts)
    if (moment === 'the session is stored') holdUp(fastify, moment, pause.here)
    else if (accounts !== null && update !== undefined) {
      accounts.update = async (...args) => {
        const isDone = await update(...args)
        await pause.here()
        return isDone
      }
    }
    const { port } = fastify.server.address() as AddressInfo
    const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/password', headers: { ...AS_PROGRAM, cookie: harry.cookieHeader, 'content-type': 'application/json' } })
    request.on('error', () => {}).end(JSON.stringify({ current_password: OLD, new_password: NEW }))
    await pause.reached
    request.destroy()
    await left
    pause.go()
    await until('every session has ended', async () => (await store(fastify).ofUser('Harry')).length === 0)
    for (const client of [harry, other]) t.match((await client.get('/')).body, 'You are not logged in')
    t.equal((await new Client(fastify).login('Harry', NEW)).statusCode, 303)
  })
}

test('a new password is judged only after the current one, which is rate limited', async (t) => {
  const start = Date.now()
  const fastify = await service(t, { now: () => start })
  const harry = await loggedIn(fastify)
  // From a known device, from a known network, and as a stranger.
  for (let i = 0; i < 18; i++) t.equal((await change(harry, 'not the password', 'short')).statusCode, 403, 'nothing about the new password')
  t.equal((await change(harry, OLD, 'short')).statusCode, 429)
})

test('a process that ends with the change of the password leaves no other session', async (t) => {
  const fastify = await service(t)
  const [harry, thief] = [await loggedIn(fastify), await loggedIn(fastify)]
  const { accounts } = fastify.hatcheck.storage
  const update = accounts?.update.bind(accounts)
  const changed = stop()
  // Nothing after the write is carried out.
  Object.assign(accounts as object, {
    update: async (...args: Parameters<NonNullable<typeof update>>) => {
      await update?.(...args)
      await changed.here()
      throw new Error('the process has ended')
    }
  })
  const changing = change(harry, OLD, NEW)
  await changed.reached
  t.match((await thief.get('/')).body, 'You are not logged in')
  t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
  changed.go()
  await changing
})

test('if the end of the other sessions cannot be stored, the answer says so', async (t) => {
  for (const [call, isChanged] of [['removeOfUser', false], ['removeOfUser', true], ['replace', true]] as const) {
    await t.test(`${call} ${isChanged ? 'after' : 'before'} the change`, async (t) => {
      const fastify = await service(t)
      const [harry, other] = [await loggedIn(fastify), await loggedIn(fastify)]
      const works = store(fastify)[call]
      let calls = 0
      store(fastify)[call] = ((...args: unknown[]) => {
        if (call === 'removeOfUser' && isChanged && ++calls === 1) return (works as (...args: unknown[]) => unknown).apply(store(fastify), args)
        throw new Error('the disk is gone')
      }) as never
      const response = await change(harry, OLD, NEW)
      store(fastify)[call] = works as never
      t.equal(response.statusCode, 503)
      t.equal(response.headers['retry-after'], '1')
      t.match(response.json(), isChanged
        ? { code: 'HATCHECK_PASSWORD_CHANGE_UNFINISHED', detail: /^The password has been changed, but the end of the other sessions is not confirmed/ }
        : { code: 'HATCHECK_STORE_UNAVAILABLE' })
      t.equal((await new Client(fastify).login('Harry', isChanged ? OLD : NEW)).statusCode, 401)

      t.equal((await change(harry, isChanged ? NEW : OLD, OTHER)).statusCode, 200, 'once more')
      t.match((await other.get('/')).body, 'You are not logged in')
      t.equal((await store(fastify).ofUser('Harry')).length, 1)
    })
  }
})

test('if the account store fails, nothing changes', async (t) => {
  const fastify = await service(t)
  const harry = await loggedIn(fastify)
  const { accounts } = fastify.hatcheck.storage
  const { cookieHeader } = harry
  for (const call of ['read', 'update'] as const) {
    const works = accounts?.[call]
    Object.assign(accounts as object, { [call]: () => { throw new Error('the disk is gone') } })
    t.ok((await change(harry, OLD, NEW)).statusCode >= 500)
    Object.assign(accounts as object, { [call]: works })
  }
  t.equal(harry.cookieHeader, cookieHeader)
  t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
  t.equal((await new Client(fastify).login('Harry', OLD)).statusCode, 303)
})

test('too many attempts are answered on the page, with the time to wait', async (t) => {
  const fastify = await service(t)
  const harry = await loggedIn(fastify)
  fastify.hatcheck.login.checkPassword = () => {
    throw Object.assign(new Error('Too many tries.'), { code: 'HATCHECK_THROTTLED', statusCode: 429, headers: { 'retry-after': '7' } })
  }
  const page = await harry.post('/password', { current_password: OLD, new_password: NEW }, AS_BROWSER)
  t.equal(page.statusCode, 429)
  t.equal(page.headers['retry-after'], '7')
  t.match(page.body, 'role="alert">Too many tries.')
  t.match(page.body, 'name="current_password"')
  const program = await change(harry, OLD, NEW)
  t.equal(program.headers['retry-after'], '7')
  t.match(program.json(), { status: 429 })
})

/** Delays the next request, and no other, at one point. */
function holdUp (fastify: FastifyInstance, moment: string, here: () => Promise<void>): void {
  let held = false
  const once = async (): Promise<void> => {
    if (held) return
    held = true
    await here()
  }
  const { hatcheck } = fastify
  if (moment === 'the session is stored') {
    const sessions = store(fastify)
    for (const call of ['create', 'replace'] as const) {
      const write = sessions[call].bind(sessions) as (...args: unknown[]) => unknown
      sessions[call] = (async (...args: unknown[]) => {
        await once()
        return await write(...args)
      }) as never
    }
  } else if (moment === 'the check of the password') {
    const { checkPassword } = hatcheck.login
    hatcheck.login.checkPassword = async (...args) => {
      const answer = await checkPassword(...args)
      await once()
      return answer
    }
  } else {
    const { isStillValid } = hatcheck.login
    hatcheck.login.isStillValid = async (user) => {
      await once()
      return await isStillValid(user)
    }
  }
}

function lines (): { stream: Writable, all: () => Array<Record<string, unknown>>, text: () => string } {
  let text = ''
  const stream = new Writable({
    write (chunk, _encoding, done) {
      text += String(chunk)
      done()
    }
  })
  return { stream, text: () => text, all: () => text.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>) }
}
