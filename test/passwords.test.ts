import type { FastifyInstance } from 'fastify'
import { dictionary } from '@zxcvbn-ts/language-common'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { test, type Test } from 'tap'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import type { Accounts } from '../plugins/accounts/accounts.js'
import { isCommonPassword } from '../plugins/accounts/common-passwords.js'
import { hashPassword, verifyPassword } from '../plugins/accounts/password.js'
import { AS_BROWSER, AS_PROGRAM } from './accept.js'
import './cheap-hashes.js'
import { Client, type Answer } from './client.js'
import { build, buildHost, needs } from './helper.js'
import { noteCalls } from './note-calls.js'
import { startRedis } from './redis.js'
import type { SessionRecord } from '../plugins/store/sessions.js'
import { until } from './loop-clock.js'
import { stop } from './watched-store.js'

const OLD = 'correct horse battery'
const NEW = 'staple of something else'
const OTHER = 'a third one, not yet used'

const EASY = 'This password is too easy to guess: it is a common password, a keyboard sequence, a repetition, or little more than the name.'
const DONE = 'Your password has been changed, and all your other sessions have ended.'

test('common passwords are refused', async (t) => {
  const isCommon = async (password: string): Promise<boolean> => await isCommonPassword(password, 'Harry')

  t.test('every password of the list is common, and so is each of them repeated', async (t) => {
    const words = dictionary['passwords-common']
    t.equal(words.length, 49_233)
    const long = words.filter((word) => word.length >= 8)
    t.equal(long.length, 17_950)
    t.equal(words.filter((word) => word.length >= 15).length, 41)
    const missed: string[] = []
    for (const word of long) if (!await isCommon(word)) missed.push(word)
    for (const word of words) {
      const password = word.repeat(Math.ceil(15 / word.length)).slice(0, Math.max(15, word.length))
      if (!await isCommon(password)) missed.push(password)
    }
    t.strictSame(missed, [])
  })

  t.test('a common password stays common in any letter case and with characters around it', async (t) => {
    for (const password of ['PASSWORD', 'PassWordPassword', ' passwordpassword ', '\u3000passwordpassword\n', 'password password', 'password-password', 'passwordpasswordpas',
      'passwordpassword1', 'Password1234567', '!!!password2024!!!', 'ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ', '1234567890!!!!!']) t.equal(await isCommon(password), true, password)
  })

  t.test('a row of characters or keys is a common password, in any direction', async (t) => {
    for (const password of ['123456789012345', '987654321098765', 'abcdefghijklmnop', 'zyxwvutsrqponmlkj', 'abcd1234efgh5678', '112233445566778', 'aabbccddeeffggh',
      'qwertyuiopasdfg', '1qaz2wsx3edc4rfv', 'zaq12wsxcde34rfv', 'azertyuiopqsdfgh', 'qwertzuiopasdfg', '!@#$%^&*()!@#$%^', 'qwertyuiop1234567']) t.equal(await isCommon(password), true, password)
  })

  t.test('a repeated short piece is a common password', async (t) => {
    for (const password of ['aaaaaaaaaaaaaaa', 'abababababababa', 'xq7!xq7!xq7!xq7!', '               ', '♥♥♥♥♥♥♥♥♥♥♥♥♥♥♥', 'ab'.repeat(512)]) t.equal(await isCommon(password), true, password)
  })

  t.test('the name of the account or the service, with a few more characters, is a common password', async (t) => {
    for (const password of ['HarryHarryHarry', 'harry, harry, harry', '1234Harry1234567', 'Harry2026Harry!', 'hatcheckhatcheck', 'Hatcheck 123456!', 'harry@hatcheck', 'harrypassword']) t.equal(await isCommon(password), true, password)
    t.equal(await isCommonPassword('Zoë Zoë Zoë Zoë'.normalize('NFD'), 'ZOË'), true)
    t.equal(await isCommonPassword('strasse Straße ok', 'STRASSE'), true, 'the name in its case-folded form')
    t.equal(await isCommonPassword('a battery and a', 'a'), false, 'a name that occurs in every word is ignored')
  })

  t.test('other passwords are accepted: no kinds of characters are required', async (t) => {
    for (const password of ['correct horse battery staple', 'all lower case words', 'ALL UPPER CASE WORDS', 'only 15 letters', '   spaces   in   between   ', '🔑🐴🔋📎🎩🧥🧣🧤🧦👒🎓👑💍👜👝', 'пароль из пяти слов', 'これは長いパスワードですね、本当に',
      'k7#mQ2vX9pLw4Rz', '83920175620394x', 'Harry likes cats and dogs', 'monkey83920175620394', 'x'.concat('correct horse battery '.repeat(20)), 'hwkxqjzv']) t.equal(await isCommon(password), false, password)
  })
})

test('a password is judged with bounded work, whatever its length', async (t) => {
  let steps = 0
  noteCalls(t, String.prototype, 'startsWith', () => { steps++ })
  for (const [password, isCommon] of [
    ['\uFDFA'.repeat(341), true],
    ['\u0390\uFDFA'.repeat(204), true],
    [`${'a'.repeat(500)}b${'a'.repeat(500)}`, true],
    [`${'xk7pq2mvw'.repeat(50)}-${'xk7pq2mvw'.repeat(50)}`, false],
    [`!${'1237894560'.repeat(80)}harryhatcheck${'1237894560'.repeat(10)}7`, false],
    [`${'passwor'.repeat(146)}d`, false]
  ] as const) {
    steps = 0
    t.equal(await isCommonPassword(password, 'Harry'), isCommon, password.slice(0, 20))
    t.ok(steps < 2_000, `${steps} steps`)
  }
})

test('the rules for a new password are the same wherever it is set', async (t) => {
  const fastify = await build(t, { mode: 'service', signup: 'open' })
  const accounts = fastify.accounts as Accounts
  const signUp = async (name: string, password: string): Promise<unknown> => (await new Client(fastify).post('/login', { client_name: name, password }, AS_PROGRAM)).json()
  await accounts.add('Harry', OLD)
  const harry = await loggedIn(fastify)

  const easy = { code: 'HATCHECK_PASSWORD', statusCode: 400, message: EASY }
  for (const password of ['passwordpassword', 'HarryHarryHarry', '123456789012345']) {
    await t.rejects(accounts.setPassword('Harry', password), easy)
    await t.rejects(accounts.add('Sally', password.replaceAll('Harry', 'Sally')), easy)
    t.match(await signUp('Sally', password.replaceAll('Harry', 'Sally')), { status: 400, code: 'HATCHECK_PASSWORD', detail: EASY })
    t.match((await change(harry, OLD, password)).json(), { status: 400, code: 'HATCHECK_PASSWORD', detail: EASY })
  }
  t.match((await change(harry, OLD, 'only 14 of them'.slice(1))).json(), { status: 400, detail: 'A password must have at least 15 characters.' })
  t.match((await change(harry, OLD, 'é'.repeat(513))).json(), { status: 400, detail: 'A password can have at most 1024 bytes.' })
  t.strictSame((await accounts.list()).map(({ name }) => name), ['Harry'])
  t.strictSame(await accounts.authenticate('Harry', OLD), { name: 'Harry' }, 'none of these has changed anything')

  let password = OLD
  for (const next of ['exactly 15 char', 'sixty-four characters, '.repeat(3).slice(0, 64), 'a thousand characters, '.repeat(44).slice(0, 1000), `${'un long mot de passe '.repeat(48)}été!!`.padEnd(1022, '.')]) {
    t.equal((await change(harry, password, next)).statusCode, 200, `${[...next].length} characters`)
    password = next
  }
  t.equal(await accounts.authenticate('Harry', `${password.slice(0, -1)}!`), null, 'the last character counts')

  const demo = await build(t)
  const short = await loggedIn(demo, 'Harry', '12345678')
  t.equal((await change(short, '12345678', 'password')).statusCode, 200, 'demo mode accepts it: it holds no secrets')
  t.match((await change(short, 'password', '1234567')).json(), { detail: 'A password must have at least 8 characters.' })
})

test('a password is verified as received, except for normalization to NFC', async (t) => {
  for (const [set, others] of [
    ['pw', ['pw\0', 'pw\0x', 'pw ', ' pw', 'PW', 'p', '']],
    ['pw\0x', ['pw', 'pw\0', 'pw\0y']],
    ['a trailing space ', ['a trailing space', 'a trailing space  ']],
    ['a'.repeat(72), ['a'.repeat(73), 'a'.repeat(71)]],
    ['ﬁne', ['fine']]
  ] as const) {
    const passwordHash = await hashPassword(set)
    t.equal(await verifyPassword(passwordHash, set), true)
    for (const other of others) t.equal(await verifyPassword(passwordHash, other), false, JSON.stringify([set, other]))
  }
  t.equal(await verifyPassword(await hashPassword('Zoe\u0308'), 'Zo\u00EB'), true)
  t.equal(await verifyPassword(await hashPassword('Zo\u00EB'), 'Zoe\u0308'), true)
})

test('a password or a name with a character that was not decoded is refused, since all of them would be equal', async (t) => {
  const fastify = await build(t, { mode: 'service', signup: 'open' })
  const accounts = fastify.accounts as Accounts
  await accounts.add('Harry', OLD)
  const refusal = { code: 'HATCHECK_PASSWORD', statusCode: 400, message: 'A password must be valid Unicode text: it contains a character that cannot be decoded.' }
  for (const half of ['\uD800', '\uDFFF', '\uDC00\uD800', '\ufffd', Buffer.from([0xE4]).toString()]) {
    await t.rejects(accounts.setPassword('Harry', `half a character ${half}`), refusal)
    await t.rejects(accounts.authenticate('Harry', `half a character ${half}`), refusal)
    const answer = await fastify.inject({ method: 'POST', url: '/login', headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ client_name: 'Sally', password: `half a character ${half}` }) })
    t.match(answer.json(), { status: 400, code: 'HATCHECK_PASSWORD', detail: refusal.message })
  }
  const payload = Buffer.from('client_name=Sally&password=p\u00e4sswort und mehr', 'latin1')
  const latin1 = await fastify.inject({ method: 'POST', url: '/login', headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }, payload })
  t.match(latin1.json(), { status: 400, code: 'HATCHECK_PASSWORD', detail: refusal.message }, 'a form that is not UTF-8')
  for (const signup of ['open', 'closed'] as const) {
    const service = await build(t, { mode: 'service', signup })
    for (const [form, code] of [['client_name=Sally&password=b%E4ttery+and+more', 'HATCHECK_PASSWORD'], ['client_name=J%FCrgen&password=battery+and+more', 'HATCHECK_NAME'], [Buffer.from('client_name=J\u00fcrgen&password=battery+and+more', 'latin1'), 'HATCHECK_NAME']] as const) {
      const answer = await service.inject({ method: 'POST', url: '/login', headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }, payload: form })
      t.match(answer.json(), { status: 400, code, detail: /^A (?:name|password) must be valid Unicode text: it contains a character that cannot be decoded\.$/ }, String(form))
    }
  }
  const typed = await new Client(fastify).post('/login', { client_name: 'J%FCrgen', password: 'b%E4ttery + and & more=' }, { accept: 'application/json' })
  t.match(typed.json(), { user: { name: 'J%FCrgen' } }, 'a typed percent sign is one')
  await accounts.setPassword('Harry', 'both halves of a character \uD83D\uDE00')
})

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

test('the password page', async (t) => {
  const fastify = await service(t)
  const harry = await loggedIn(fastify)

  t.test('the password page supports password managers and screen readers', async (t) => {
    const { body, statusCode, headers } = await harry.get('/password', AS_BROWSER)
    t.equal(statusCode, 200)
    t.equal(headers['cache-control'], 'no-store')
    for (const [field, autocomplete] of [['current_password', 'current-password'], ['new_password', 'new-password'], ['new_password_again', 'new-password']] as const) {
      const [, attributes = ''] = new RegExp(`<input ([^>]*name="${field}"[^>]*)>`).exec(body) ?? []
      t.match(attributes, 'type="password"')
      t.match(attributes, `autocomplete="${autocomplete}"`)
      t.match(attributes, 'required')
      t.notMatch(attributes, /value|maxlength|onpaste/)
      const [, id] = /id="(\w+)"/.exec(attributes) ?? []
      t.match(body, `<label for="${id}">`)
    }
    t.match(body, /<input [^>]*value="Harry" autocomplete="username"/)
    t.match(body, 'At least 15 characters')
    t.strictSame((await harry.get('/password', AS_PROGRAM)).json(), { minLength: 15 })
  })

  t.test('the password page shows each error at its field, and never a password', async (t) => {
    for (const [fields, status, text, flawed] of [
      [{ current_password: NEW, new_password: OTHER, new_password_again: OTHER }, 403, 'The current password is wrong.', ['current_password']],
      [{ current_password: OLD, new_password: 'short', new_password_again: 'short' }, 400, 'A password must have at least 15 characters.', ['new_password', 'new_password_again']],
      [{ current_password: OLD, new_password: OTHER, new_password_again: NEW }, 400, 'The two new passwords are not the same.', ['new_password', 'new_password_again']]
    ] as const) {
      const { statusCode, body } = await harry.post('/password', fields, AS_BROWSER)
      t.equal(statusCode, status)
      t.match(body, `role="alert">${text}`)
      t.strictSame([...body.matchAll(/name="(\w+)"[^>]* aria-invalid="true"/g)].map(([, name]) => name), flawed)
      for (const [field] of body.matchAll(/<input [^>]*aria-invalid[^>]*>/g)) t.match(field, /aria-describedby="notice(?: rule)?"/, 'a screen reader reads the error with the field')
      for (const password of Object.values(fields)) t.notOk(body.includes(`"${password}"`))
    }
  })

  t.test('the password page escapes the name', async (t) => {
    const name = '"><script>alert(1)</script>'
    await fastify.accounts?.add(name, OLD)
    const { body } = await (await loggedIn(fastify, name)).get('/password', AS_BROWSER)
    t.notMatch(body, '<script>')
  })

  t.test('only a logged-in user gets the password page', async (t) => {
    const nobody = new Client(fastify)
    const page = await nobody.get('/password', AS_BROWSER)
    t.equal(page.statusCode, 303)
    t.equal(page.headers.location, '/login?next=%2Fpassword')
    t.match((await nobody.get('/password', AS_PROGRAM)).json(), { status: 401, code: 'HATCHECK_LOGIN_REQUIRED' })
    t.match((await change(nobody, OLD, NEW)).json(), { status: 401, code: 'HATCHECK_LOGIN_REQUIRED' })
    t.equal((await nobody.post('/password', { current_password: OLD, new_password: NEW }, AS_BROWSER)).statusCode, 401)
    t.equal((await new Client(fastify).login('Harry', OLD)).statusCode, 303, 'nothing has changed')
  })

  t.test('another site cannot use the password page', async (t) => {
    for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://example.com' }] as Array<Record<string, string>>) {
      const response = await harry.post('/password', { current_password: OLD, new_password: NEW }, headers)
      t.match(response.json(), { status: 403, code: 'HATCHECK_CROSS_ORIGIN' })
    }
    t.equal((await new Client(fastify).login('Harry', OLD)).statusCode, 303, 'nothing has changed')
  })

  t.test('the password page is under the prefix of the other pages', async (t) => {
    const fastify = await buildHost(t, { routes: true, prefix: '/auth' })
    await fastify.accounts?.add('Harry', OLD)
    const harry = new Client(fastify)
    await harry.post('/auth/login', { client_name: 'Harry', password: OLD })
    t.match((await harry.get('/auth/password', AS_BROWSER)).body, 'action="/auth/password"')
    const done = await harry.post('/auth/password', { current_password: OLD, new_password: NEW }, AS_BROWSER)
    t.equal(done.headers.location, '/auth/')
    t.match((await harry.get('/auth/', AS_BROWSER)).body, DONE)
  })

  t.test('an application with its own users has no password page', async (t) => {
    const fastify = await buildHost(t, { routes: true, authenticate: (name) => ({ name }) })
    const harry = await loggedIn(fastify)
    t.equal((await harry.get('/password', AS_BROWSER)).statusCode, 404)
    t.equal((await change(harry, OLD, NEW)).statusCode, 404)
  })
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

/** A service with the account Harry, and a few routes that show sessions. */
async function service (t: Test, options: HatcheckOptions = {}, stream?: Writable): Promise<FastifyInstance> {
  const fastify = await build(t, { mode: 'service', signup: 'closed', ...options }, stream === undefined ? {} : { logger: { level: 'trace', stream } })
  fastify.get<{ Params: { value: string } }>('/set/cart/:value', async ({ session, params }) => { (session as unknown as Record<string, unknown>)['cart'] = params.value })
  fastify.get<{ Params: { text: string } }>('/flash/:text', async (request) => { request.flash('info', request.params.text) })
  fastify.get('/rotate', async ({ session }) => { await session.regenerate(session.keys() as never[]) })
  fastify.get('/data', async (request) => {
    const { cart } = request.session as unknown as Record<string, unknown>
    return { cart, flashes: (await request.flashes()).map(({ text }) => text) }
  })
  await fastify.accounts?.add('Harry', OLD)
  return fastify
}

async function loggedIn (fastify: FastifyInstance, name = 'Harry', password = OLD): Promise<Client> {
  const client = new Client(fastify)
  await client.post('/login', { client_name: name, password })
  return client
}

function change (client: Client, current: string, next: string, headers: Record<string, string> = AS_PROGRAM): Promise<Answer> {
  return client.send({ method: 'POST', url: '/password', payload: { current_password: current, new_password: next }, headers })
}

function store (fastify: FastifyInstance): FastifyInstance['sessions']['store'] {
  return fastify.sessions.store
}

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
