import { test } from 'tap'
import { OLD, change, loggedIn, service } from './apps/password-service.js'
import { AS_BROWSER, AS_PROGRAM } from './clients/accept.js'
import { Client } from './clients/client.js'
import { buildHost } from './helper.js'
import './time/cheap-hashes.js'

const NEW = 'staple of something else'
const OTHER = 'a third one, not yet used'

const DONE = 'Your password has been changed, and all your other sessions have ended.'

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
