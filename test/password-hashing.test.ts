import { test } from 'tap'
import { hashPassword, verifyPassword } from '../plugins/accounts/password.js'
import { openOffice } from './apps/account-office.js'
import { Client } from './clients/client.js'
import { build, gate } from './helper.js'
import { realHashes } from './time/cheap-hashes.js'

const GOOD = 'correct horse battery'
const OTHER = 'staple of something else'

test('passwords', async (t) => {
  t.test('a password has a minimum and a maximum length', async (t) => {
    const { accounts } = openOffice(t, 'memory:', { commonPasswords: 'allowed' })
    const short = { code: 'HATCHECK_PASSWORD', statusCode: 400, message: 'A password must have at least 15 characters.' }
    await t.rejects(accounts.add('Harry', 'fourteen chars'), short)
    await t.rejects(accounts.add('Harry', '😀'.repeat(14)), short, 'counted in characters')
    await accounts.add('a', 'fifteen chars !')
    await accounts.add('b', '😀'.repeat(15))
    await accounts.add('c', 'a'.repeat(64))
    await accounts.add('d', `${'é'.repeat(511)}ab`)
    t.strictSame(await accounts.authenticate('d', `${'é'.repeat(511)}ab`), { name: 'd' }, '1024 bytes count to the last')
    t.equal(await accounts.authenticate('d', `${'é'.repeat(511)}ac`), null)
    const long = { code: 'HATCHECK_PASSWORD', statusCode: 400, message: 'A password can have at most 1024 bytes.' }
    for (const password of ['a'.repeat(1_025), 'é'.repeat(513)]) {
      await t.rejects(accounts.add('Harry', password), long)
      await t.rejects(accounts.authenticate('a', password), long)
      await t.rejects(accounts.setPassword('a', password), long)
    }
    for (const password of [undefined, null, 1, {}, ['a'.repeat(15)]]) {
      await t.rejects(accounts.add('Harry', password as string), { code: 'HATCHECK_PASSWORD', message: 'The password is missing.' })
      await t.rejects(accounts.authenticate('a', password as string), { code: 'HATCHECK_PASSWORD', message: 'The password is missing.' })
    }
  })

  t.test('a password needs no particular kinds of characters', async (t) => {
    const { accounts } = openOffice(t, 'memory:')
    for (const [i, password] of ['all lower case words', '   spaces   in   between   ', '🔑🐴🔋📎🎩🧥🧣🧤🧦👒🎓👑💍👜👝', 'пароль из пяти слов'].entries()) {
      await accounts.add(`user${i}`, password)
      t.strictSame(await accounts.authenticate(`user${i}`, password), { name: `user${i}` })
      t.equal(await accounts.authenticate(`user${i}`, password.trim() === password ? `${password} ` : password.trim()), null, 'and space counts')
      t.equal(await accounts.authenticate(`user${i}`, password.toUpperCase()) === null, password.toUpperCase() !== password, 'and case')
    }
  })

  t.test('a password is verified in full length, beyond NUL and beyond 72 bytes', async (t) => {
    const { accounts } = openOffice(t, 'memory:')
    await accounts.add('Harry', 'before the NUL\0after it')
    t.equal(await accounts.authenticate('Harry', 'before the NUL'), null)
    t.equal(await accounts.authenticate('Harry', 'before the NUL\0after'), null)
    t.strictSame(await accounts.authenticate('Harry', 'before the NUL\0after it'), { name: 'Harry' })
    const long = `${'a long password '.repeat(6)}end`
    await accounts.add('long', long)
    t.equal(await accounts.authenticate('long', `${long.slice(0, 72)}${'b'.repeat(27)}`), null)
  })

  t.test('a password matches in its decomposed and its composed Unicode form', async (t) => {
    const { accounts } = openOffice(t, 'memory:')
    await accounts.add('Zoë', 'Zoë\'s long password'.normalize('NFD'))
    t.strictSame(await accounts.authenticate('Zoë', 'Zoë\'s long password'.normalize('NFC')), { name: 'Zoë' })
  })
})

test('the response time of a login does not reveal whether the name exists', async (t) => {
  realHashes(t)
  const { accounts } = openOffice(t, 'memory:')
  await accounts.add('Harry', GOOD)
  await accounts.add('disabled', GOOD)
  await accounts.disable('disabled')
  const attempts = { wrong: ['Harry', OTHER], unknown: ['Nobody', OTHER], disabled: ['disabled', GOOD] } as const
  /** The CPU time of each in ms, since what else the machine does takes none of it. */
  const least = { wrong: Infinity, unknown: Infinity, disabled: Infinity }
  const areAlike = (): boolean => Math.max(...Object.values(least)) < 3 * Math.min(...Object.values(least))
  // Other work of this process, such as garbage collection, can only add to it.
  for (let round = 0; round < 5 || (round < 50 && !areAlike()); round++) {
    for (const [what, [name, password]] of Object.entries(attempts) as Array<[keyof typeof attempts, readonly [string, string]]>) {
      const before = process.cpuUsage()
      t.equal(await accounts.authenticate(name, password), null)
      const { user, system } = process.cpuUsage(before)
      least[what] = Math.min(least[what], (user + system) / 1_000)
    }
  }
  t.ok(areAlike(), JSON.stringify(least))
  t.ok(least.unknown > 2, 'something is hashed')
})

test('password hashing is bounded', async (t) => {
  t.test('logins beyond the limit get a 503 before anything is hashed', async (t) => {
    const passwordHash = await hashPassword(GOOD)
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => i % 2 === 0 ? verifyPassword(passwordHash, GOOD) : hashPassword(OTHER)))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason)
    t.ok(refused.length >= 34 && refused.length <= 36, `${refused.length} of 100 are refused`)
    for (const error of refused) {
      t.match(error, {
        code: 'HATCHECK_BUSY',
        statusCode: 503,
        message: 'Too many people are logging in right now. Please try again in a moment.',
        headers: { 'retry-after': '2' }
      })
    }
    t.equal(await verifyPassword(passwordHash, GOOD), true, 'a later verification succeeds')
  })

  t.test('a password that breaks the length rules is refused without waiting for a place', async (t) => {
    const { accounts } = openOffice(t, 'memory:')
    const waiting = Promise.allSettled(Array.from({ length: 66 }, () => hashPassword(GOOD)))
    await t.rejects(accounts.authenticate('Harry', 'a'.repeat(1_025)), { code: 'HATCHECK_PASSWORD' })
    await t.rejects(accounts.add('Harry', 'short'), { code: 'HATCHECK_PASSWORD' })
    await t.rejects(accounts.authenticate('Harry', OTHER), { code: 'HATCHECK_BUSY' })
    await waiting
  })

  t.test('over HTTP, a logged-in user does not wait for the hashing of others', async (t) => {
    const fastify = await build(t, { mode: 'service', signup: 'closed' })
    await fastify.accounts?.add('Harry', GOOD)
    const harry = new Client(fastify)
    t.equal((await harry.login('Harry', GOOD)).statusCode, 303)
    const done = gate()
    let answered = 0
    const logins = Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const response = await new Client(fastify).login(`nobody ${i}`, OTHER)
      if (response.statusCode === 401 && ++answered === 60) done.open()
      return response
    }))
    const before = performance.now()
    t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
    const took = performance.now() - before
    const responses = await logins
    await done.passed
    t.ok(took < performance.now() - before, 'the page is answered before the logins')
    const busy = responses.filter(({ statusCode }) => statusCode === 503)
    t.ok(busy.length > 0)
    t.equal(busy.length + responses.filter(({ statusCode }) => statusCode === 401).length, 100)
    for (const response of busy) {
      t.equal(response.headers['retry-after'], '2')
      t.match(response.json(), { status: 503, code: 'HATCHECK_BUSY' })
      t.equal(response.headers['set-cookie'], undefined)
    }
  })

  t.test('a browser gets its form again, with what the user typed except passwords', async (t) => {
    let time = Date.now()
    const fastify = await build(t, { mode: 'service', signup: 'closed', now: () => time })
    const html = { accept: 'text/html' }
    const [harry, sally] = await Promise.all(['Harry', 'Sally'].map(async (name) => {
      await fastify.accounts?.add(name, GOOD)
      const client = new Client(fastify)
      await client.login(name, GOOD)
      return client
    })) as [Client, Client]
    time += 660_000
    const waiting = Promise.allSettled(Array.from({ length: 200 }, (_, i) => hashPassword(GOOD, i % 2 === 0)))
    const answers = await Promise.all([
      new Client(fastify).post('/login', { client_name: 'Luna', password: OTHER, next: '/reports', permanent: 'on' }, html),
      harry.post('/password', { current_password: GOOD, new_password: OTHER, new_password_again: OTHER }, html),
      sally.post('/sessions', { others: '1', password: GOOD }, html)
    ])
    await waiting
    const forms = [['action="/login"', 'name="next" value="/reports"', 'name="client_name" value="Luna"', 'value="on" checked'], ['action="/password"'], ['action="/sessions"', 'name="others" value="1"']]
    for (const [i, { statusCode, headers, body }] of answers.entries()) {
      t.equal(statusCode, 503)
      t.equal(headers['retry-after'], '2')
      for (const text of ['Too many people are logging in right now. Please try again in a moment.', ...forms[i] ?? []]) t.ok(body.includes(text), text)
      for (const password of [GOOD, OTHER]) t.notOk(body.includes(password))
    }
  })
})
