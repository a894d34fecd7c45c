import { dictionary } from '@zxcvbn-ts/language-common'
import { test } from 'tap'
import type { Accounts } from '../plugins/accounts/accounts.js'
import { isCommonPassword } from '../plugins/accounts/common-passwords.js'
import { hashPassword, verifyPassword } from '../plugins/accounts/password.js'
import { OLD, change, loggedIn } from './apps/password-service.js'
import { AS_PROGRAM } from './clients/accept.js'
import { Client } from './clients/client.js'
import { build } from './helper.js'
import { noteCalls } from './inputs/note-calls.js'
import './time/cheap-hashes.js'

const EASY = 'This password is too easy to guess: it is a common password, a keyboard sequence, a repetition, or little more than the name.'

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
