import type { FastifyInstance } from 'fastify'
import { inspect } from 'node:util'
import { test, type Test } from 'tap'
import { hatcheck, hatcheckService } from '../app.js'
import { AS_PROGRAM } from './clients/accept.js'
import { Client, type Answer } from './clients/client.js'
import { unescaped } from './clients/unescaped.js'
import { build, buildHost, newFastify, sessionCookieOf, testKey } from './helper.js'

/** Headers that Chromium sends with a navigation. */
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8'
/** Accept headers that ask for a page, and those that ask for JSON. */
const PAGE_ACCEPTS = [BROWSER, 'text/html', 'Text/HTML', 'text/*', 'text/html, text/*;q=0', 'text/html, application/json;q=0.9', 'text/html;charset=utf-8, application/json;charset=utf-8;q=0.9', 'TEXT/HTML, APPLICATION/JSON;Q=0.9', '*/*', undefined]
const JSON_ACCEPTS = ['application/json', 'application/json, text/plain, */*', 'application/json;q=0.9, text/html;q=0.1', 'application/problem+json', 'application/json, text/html;q=0', 'Application/JSON', 'application/json; charset=utf-8', 'application/json;charset="utf-8" ; q=0.9, text/html;level=1;q=0.8', 'application/json;profile="a,b;q=0"', 'APPLICATION/PROBLEM+JSON', 'application/*', 'application/*, text/html;q=0.5']

const accept = (value: string | undefined): Record<string, string> => value === undefined ? {} : { accept: value }
const asBrowser = { accept: BROWSER }
const fromOwnPage = { 'sec-fetch-site': 'same-origin' }

test('/ is a page, or JSON for a client that prefers it', async (t) => {
  const harry = new Client(await build(t))
  for (const value of PAGE_ACCEPTS) {
    const { statusCode, headers, body } = await harry.get('/', accept(value))
    t.equal(statusCode, 200)
    t.equal(headers['content-type'], 'text/html; charset=utf-8', `for ${value}`)
    t.match(body, /^<!doctype html>\n<html lang="en">/)
    t.match(body, '<h1>You are not logged in</h1>')
  }
  for (const value of JSON_ACCEPTS) {
    const response = await harry.get('/', accept(value))
    t.match(response.headers['content-type'], /^application\/json/, value)
    t.same(response.json(), { user: null })
  }
  await harry.login()
  for (const value of PAGE_ACCEPTS) t.match((await harry.get('/', accept(value))).body, 'Harry Your account is logged in.')
  for (const value of JSON_ACCEPTS) {
    const { user } = (await harry.get('/', accept(value))).json()
    t.same(Object.keys(user), ['name', 'authenticatedAt'])
    t.equal(user.name, 'Harry')
    t.equal(new Date(user.authenticatedAt).toISOString(), user.authenticatedAt)
  }
})

test('/login answers with a page or JSON', async (t) => {
  const fastify = await build(t)
  for (const value of PAGE_ACCEPTS) {
    const harry = new Client(fastify)
    const form = await harry.get('/login', accept(value))
    t.equal(form.statusCode, 200)
    t.equal(form.headers['content-type'], 'text/html; charset=utf-8')
    const login = await harry.post('/login', { client_name: 'Harry', password: '12345678' }, accept(value))
    t.equal(login.statusCode, 303)
    t.equal(login.headers.location, '/')
    t.equal(login.body, '')
  }
  for (const value of JSON_ACCEPTS) {
    const harry = new Client(fastify)
    const form = await harry.get('/login', accept(value))
    t.equal(form.statusCode, 200)
    t.match(form.headers['content-type'], /^application\/json/, 'a program does not get a form')
    const login = await harry.post('/login?next=/cart', { client_name: 'Harry', password: '12345678' }, accept(value))
    t.equal(login.statusCode, 200)
    t.match(login.json(), { user: { name: 'Harry', authenticatedAt: /^\d{4}-.*Z$/ }, next: '/cart' })
  }
})

test('/logout answers with a redirect or JSON, to GET and to POST, also for a visitor', async (t) => {
  const fastify = await build(t)
  for (const isLoggedIn of [true, false]) {
    for (const method of ['GET', 'POST'] as const) {
      for (const value of PAGE_ACCEPTS) {
        const harry = new Client(fastify)
        if (isLoggedIn) await harry.login()
        const response = await harry.send({ method, url: '/logout', headers: { ...accept(value), ...fromOwnPage } })
        t.equal(response.statusCode, 303)
        t.equal(response.headers.location, '/')
        t.notOk(harry.cookies.has('hatcheck'))
      }
      for (const value of JSON_ACCEPTS) {
        const harry = new Client(fastify)
        if (isLoggedIn) await harry.login()
        const response = await harry.send({ method, url: '/logout', headers: { ...accept(value), ...fromOwnPage } })
        t.equal(response.statusCode, 200)
        t.same(response.json(), { user: null })
        t.notOk(harry.cookies.has('hatcheck'))
      }
    }
  }
  t.equal(await fastify.sessions.store.count(), 0)
})

test('GET /logout from a browser without Sec-Fetch-Site and Referer shows a confirmation form', async (t) => {
  const fastify = await build(t)
  for (const value of [BROWSER, 'text/html', 'Text/HTML', 'text/*']) {
    const harry = new Client(fastify)
    await harry.login()
    const response = await harry.get('/logout', accept(value))
    t.match(response, { statusCode: 200, body: 'Log out?' })
    t.match((await harry.get('/', AS_PROGRAM)).json(), { user: { name: 'Harry' } })
    t.equal((await harry.get('/logout', { ...accept(value), referer: 'http://localhost:80/' })).statusCode, 303, 'a page of the service says so')
  }
  const safari = { 'user-agent': 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.6 Safari/605.1.15' }
  // What a browser sends for an image, a style sheet, and everything else of a page with "Referrer-Policy: no-referrer".
  for (const value of ['image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5', 'text/css,*/*;q=0.1', '*/*']) {
    const harry = new Client(fastify)
    await harry.login()
    t.match(await harry.get('/logout', { ...accept(value), ...safari }), { statusCode: 200, body: 'Log out?' }, value)
    t.match((await harry.get('/', AS_PROGRAM)).json(), { user: { name: 'Harry' } })
  }
  for (const agent of [{}, { 'user-agent': 'curl/8.5.0' }, { 'user-agent': 'python-requests/2.32.3' }]) {
    const program = new Client(fastify)
    await program.login()
    t.equal((await program.get('/logout', { ...accept('*/*'), ...agent })).statusCode, 303, 'a program is no browser')
  }
  for (const agent of [{}, { 'user-agent': 'AppOfAShop/1.0' }]) {
    const embedded = new Client(fastify)
    await embedded.login()
    await embedded.get('/logout', { ...accept('*/*'), ...agent, origin: 'https://evil.example' })
    t.match((await embedded.get('/', AS_PROGRAM)).json(), { user: { name: 'Harry' } }, 'a browser within a program says that another site asks')
    t.equal((await embedded.get('/logout', { ...accept('*/*'), ...agent, origin: 'http://localhost' })).statusCode, 303, 'or that this one does')
  }
})

test('the login form has labelled fields that a password manager recognizes, and keeps next', async (t) => {
  const { body } = await new Client(await build(t)).get('/login?next=' + encodeURIComponent('/search?q="><script>&page=2#\'x\''))
  t.match(body, '<form method="post" action="/login">')
  for (const [label, name, autocomplete] of [['Name', 'client_name', 'username'], ['Password', 'password', 'current-password']] as const) {
    const [, id] = new RegExp(`<label for="(\\w+)">${label}</label>`).exec(body) ?? []
    const [input] = new RegExp(`<input[^>]* name="${name}"[^>]*>`).exec(body) ?? ['']
    t.match(input, `id="${id}"`)
    t.match(input, `autocomplete="${autocomplete}"`)
    t.match(input, ' required')
  }
  t.match(body, /<input[^>]* name="password" type="password"/)
  t.match(body, /<label[^>]*><input type="checkbox" name="permanent" value="on">Keep me signed in<\/label>/)
  const [, next] = /<input type="hidden" name="next" value="([^"]*)">/.exec(body) ?? []
  t.match(unescaped(next), /^\/search\?q=%22%3E%3Cscript%3E&page=2#('|%27)x/)
  t.notMatch(body, '<script>')
})

test('a user who is already logged in is redirected from the form', async (t) => {
  const harry = new Client(await build(t))
  await harry.login()
  for (const [query, location] of [['', '/'], ['?next=/cart?page=2', '/cart?page=2'], ['?next=//evil.example', '/'], ['?next=/a&next=/b', '/']] as const) {
    const response = await harry.get(`/login${query}`)
    t.equal(response.statusCode, 303)
    t.equal(response.headers.location, location)
  }
})

test('a wrong password in a browser shows the form again, with the entered values except the password', async (t) => {
  const fastify = await build(t)
  const name = '"><script>alert(1)</script> & Co'
  await new Client(fastify).login(name)
  const browser = new Client(fastify)
  const response = await browser.post('/login', { client_name: name, password: 'a wrong password', permanent: 'on', next: '/cart?a=1&b=2' }, asBrowser)
  t.equal(response.statusCode, 401)
  t.equal(response.headers['content-type'], 'text/html; charset=utf-8')
  t.match(response.body, /<p id="notice" class="notice bad" role="alert">The name or the password is wrong\.<\/p>/)
  // A screen reader reads the error with the field that has the focus.
  const flawed = [...response.body.matchAll(/<input [^>]*aria-invalid="true" aria-describedby="notice"[^>]*>/g)].map(([field]) => / name="(\w+)"/.exec(field)?.[1])
  t.strictSame(flawed, ['client_name', 'password'])
  const [, typed] = /<input[^>]* name="client_name" value="([^"]*)"/.exec(response.body) ?? []
  t.equal(unescaped(typed), name)
  const [, next] = /<input type="hidden" name="next" value="([^"]*)">/.exec(response.body) ?? []
  t.equal(unescaped(next), '/cart?a=1&b=2')
  t.match(response.body, ' checked')
  t.notMatch(response.body, 'a wrong password')
  t.notMatch(response.body, '<script>')
  t.equal(response.headers['set-cookie'], undefined)
  t.equal(browser.cookies.size, 0)
})

test('an invalid login shows the broken rule in the form too', async (t) => {
  const browser = new Client(await build(t))
  for (const [form, rule] of [
    [{ client_name: '', password: '12345678' }, 'The name is missing.'],
    [{ client_name: 'Harry', password: '' }, 'The password is missing.'],
    [{ client_name: 'Harry' }, 'The password is missing.'],
    [{ client_name: 'Harry', password: '1234567' }, 'A password must have at least 8 characters.']
  ] as Array<[Record<string, string>, string]>) {
    const response = await browser.post('/login', form, asBrowser)
    t.equal(response.statusCode, 400)
    t.match(response.body, `role="alert">${rule}</p>`)
    t.match(response.body, 'name="client_name"')
  }
})

test('a name is shown as text, whatever it contains', async (t) => {
  const fastify = await build(t)
  for (const name of ['<script>alert(1)</script>', '"onmouseover="alert(1)', "'; DROP TABLE users; --", '{{7*7}}', '&lt;b&gt;', '名前 👩‍👩‍👧', '__proto__', 'constructor']) {
    const client = new Client(fastify)
    t.equal((await client.login(name)).statusCode, 303, name)
    const { body } = await client.get('/', asBrowser)
    const [, shown] = /<h1>(.*) Your account is logged in\.<\/h1>/.exec(body) ?? []
    t.equal(unescaped(shown), name)
    const [, title] = /<title>(.*) \| hatcheck<\/title>/.exec(body) ?? []
    t.equal(unescaped(title), name)
    t.notMatch(body, '<script>')
    t.equal((await client.get('/', AS_PROGRAM)).json().user.name, name)
  }
})

test('a name that breaks a rule is refused with 400', async (t) => {
  const fastify = await build(t)
  const refused = ['', '   ', '\t', 'x'.repeat(65), 'a\u0000b', 'a\nb', 'a\u001bb', 'a\u007fb', 'a\u0085b', '\u202Eyrrah', 'a\u2066b', 'a\u2028b', '\ud800', 'Har\u200Bry', 'Harry\u2069', 'Har\u00ADry']
  for (const name of refused) {
    const response = await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: name, password: '12345678' } })
    t.equal(response.statusCode, 400, `code points ${Array.from(name, (character) => character.codePointAt(0)?.toString(16)).join(' ')}`)
    t.match(response.json(), { status: 400, code: 'HATCHECK_NAME' })
  }
  t.equal(await fastify.sessions.store.count(), 0)
  for (const [name, kept] of [['x'.repeat(64), 'x'.repeat(64)], ['  Sally ', 'Sally'], ['e\u0301', 'é'], ['👍'.repeat(64), '👍'.repeat(64)]] as const) {
    const response = await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: name, password: '12345678' }, headers: AS_PROGRAM })
    t.equal(response.json().user?.name, kept)
  }
})

test('a name in upper and lower case is the same account, shown as first spelled', async (t) => {
  const fastify = await build(t)
  await new Client(fastify).login('Harry', '12345678')
  const other = new Client(fastify)
  t.equal((await other.login('hARRY', 'a wrong password')).statusCode, 401)
  t.equal((await other.login('hARRY', '12345678')).statusCode, 303)
  t.match((await other.get('/')).body, 'Harry Your account is logged in.')
})

test('a password is used as it is: spaces count, and 1024 bytes are the maximum', async (t) => {
  const fastify = await build(t)
  const longest = 'ü'.repeat(512)
  t.equal((await new Client(fastify).login('Harry', ' 12345678 ')).statusCode, 303)
  t.equal((await new Client(fastify).login('Harry', '12345678')).statusCode, 401)
  t.equal((await new Client(fastify).login('Harry', ' 12345678 ')).statusCode, 303)
  t.equal((await new Client(fastify).login('Sally', longest)).statusCode, 303)
  const response = await new Client(fastify).login('Sally', `${longest}x`)
  t.equal(response.statusCode, 400)
  t.equal(response.json().code, 'HATCHECK_PASSWORD')
})

test('a body without exactly one name and one password as text is refused with 400', async (t) => {
  const fastify = await build(t)
  const json = ['[]', '[{"client_name":"Harry","password":"12345678"}]', '5', 'null', 'true', '"client_name=Harry&password=12345678"', '{}', '{',
    '{"client_name":"Harry"}', '{"password":"12345678"}', '{"client_name":5,"password":"12345678"}', '{"client_name":"Harry","password":12345678}',
    '{"client_name":["Harry"],"password":"12345678"}', '{"client_name":"Harry","password":["12345678"]}', '{"client_name":{},"password":"12345678"}',
    '{"client_name":"Harry","password":null}', '{"__proto__":{"client_name":"Harry","password":"12345678"}}', '']
  for (const payload of json) {
    const response = await fastify.inject({ method: 'POST', url: '/login', payload, headers: { 'content-type': 'application/json' } })
    t.equal(response.statusCode, 400, payload)
    t.match(response.headers['content-type'], 'application/problem+json')
  }
  const forms = ['client_name=Harry&client_name=Sally&password=12345678', 'client_name=Harry&password=12345678&password=87654321', 'client_name[]=Harry&password=12345678',
    'client_name=Harry', 'password=12345678', '', '&&&', '=Harry', '%zz=1', 'client_name=%E0%A4%A&password=12345678&password=1']
  for (const payload of forms) {
    const response = await fastify.inject({ method: 'POST', url: '/login', payload, headers: { 'content-type': 'application/x-www-form-urlencoded' } })
    t.equal(response.statusCode, 400, payload)
  }
  t.equal((await fastify.inject({ method: 'POST', url: '/login' })).statusCode, 400, 'no body at all')
  t.equal(await fastify.sessions.store.count(), 0)
})

test('whatever a hook of an application makes of a form, the answer is a login or the broken rule', async (t) => {
  let body: unknown
  const fastify = newFastify(t)
  fastify.addHook('preValidation', async (request) => { request.body = body })
  await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, routes: true, authenticate: (name) => ({ name }) })
  const good = { client_name: 'Harry', password: '12345678' }
  const bare = (fields: object): object => Object.assign(Object.create(null), fields)
  const proto = (value: unknown): unknown => JSON.parse(`{"client_name":"Harry","password":"12345678","__proto__":${JSON.stringify(value)}}`)
  const strange = [['Harry'], ['Harry', 'Sally'], { value: 'Harry' }, bare({ value: 'Harry' }), 5, true, Symbol('Harry'), () => 'Harry', new Date(0), Buffer.from('Harry')]
  const login = async (headers: Record<string, string> = {}): Promise<Answer> => await new Client(fastify).post('/login', {}, headers)

  for (const fields of [bare(good), { ...good, permanent: ['on', 'on'] }, { ...good, next: ['/a', '/b'] }, { ...good, next: { toString: null } }, proto('x'), proto({ client_name: 'Sally' }), bare({ ...good, pwd: null })]) {
    body = fields
    const response = await login(AS_PROGRAM)
    t.equal(response.statusCode, 200, inspect(fields))
    t.match(response.json(), { user: { name: 'Harry' }, next: '/' })
  }
  for (const field of ['client_name', 'password', 'pwd']) {
    for (const value of strange) {
      body = bare({ ...good, [field]: value })
      const response = await login()
      t.equal(response.statusCode, 400, inspect(body))
      t.match(response.json(), { code: 'HATCHECK_CREDENTIALS', detail: `The field ${field} must be text, and must appear once.` })
      t.equal((await login(asBrowser)).statusCode, 400)
    }
  }
  for (const other of [undefined, null, 'client_name=Harry&password=12345678', [good], 5, Symbol('form'), new Map(Object.entries(good)), new URLSearchParams(good), Buffer.from('{}'),
    Object.create(good), Object.assign(Object.create(good), { password: '12345678' }), JSON.parse('{"__proto__":{"client_name":"Harry","password":"12345678"}}')]) {
    body = other
    const response = await login()
    t.equal(response.statusCode, 400, inspect(other))
    t.match(response.json().code, /^HATCHECK_(PASSWORD|NAME)$/)
    t.equal((await login(asBrowser)).statusCode, 400)
  }
})

test('a body of another type is refused with 415', async (t) => {
  const fastify = await build(t)
  for (const type of ['application/xml', 'multipart/form-data; boundary=x', 'application/octet-stream', 'text/plain', 'nonsense']) {
    const response = await fastify.inject({ method: 'POST', url: '/login', payload: 'client_name=Harry&password=12345678', headers: { 'content-type': type } })
    t.equal(response.statusCode, 415, type)
    t.match(response.json(), { status: 415, title: 'Unsupported Media Type', code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE', detail: 'The Content-Type of the body must be application/json or application/x-www-form-urlencoded.' })
    t.equal(response.headers.accept, 'application/json, application/x-www-form-urlencoded')
  }
  const value = await fastify.inject({ method: 'PUT', url: '/session/cart', payload: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } })
  t.match(value.json(), { status: 415, detail: 'The Content-Type of the body must be application/json.' })
  t.equal(value.headers.accept, 'application/json', 'only what the route reads')
})

test('a body that is too large is refused with 413', async (t) => {
  const fastify = await build(t)
  const response = await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: 'Harry', password: '12345678', more: 'x'.repeat(20_000) } })
  t.equal(response.statusCode, 413)
  t.match(response.json(), { status: 413 })
})

test('GET, HEAD and OPTIONS never create a session or a cookie, on any route', async (t) => {
  const { fastify, routes } = await buildWithRoutes(t)
  for (const path of ['/', '/login', '/logout']) t.ok(routes.includes(path))
  for (const path of [...routes, '/no/such/page']) {
    for (const method of ['GET', 'HEAD', 'OPTIONS'] as const) {
      for (const headers of [{}, asBrowser, AS_PROGRAM, { cookie: 'hatcheck=nonsense' }, { cookie: `hatcheck=${'A'.repeat(43)}.${'A'.repeat(43)}` }]) {
        const response = await fastify.inject({ method, url: `${path}?client_name=Harry&password=12345678&next=/`, headers: { ...headers } })
        t.ok(response.statusCode < 500, `${method} ${path} → ${response.statusCode}`)
        t.notOk(cookieNames(response.headers['set-cookie']).some(({ name, value }) => name.includes('hatcheck') && name !== 'hatcheck-notice' && value !== ''), `${method} ${path}`)
      }
    }
  }
  t.equal(await fastify.sessions.store.count(), 0)
})

test('HEAD and OPTIONS do not change a login, on any route', async (t) => {
  const { fastify, routes } = await buildWithRoutes(t)
  const harry = new Client(fastify)
  await harry.login()
  const cookie = harry.cookieHeader
  for (const path of routes) {
    for (const method of ['HEAD', 'OPTIONS'] as const) {
      const response = await fastify.inject({ method, url: path, headers: { cookie } })
      t.equal(response.headers['set-cookie'], undefined, `${method} ${path}`)
      if (method === 'HEAD') t.equal(response.body, '')
    }
  }
  t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
  t.equal((await fastify.inject({ method: 'HEAD', url: '/logout', headers: { cookie } })).statusCode, 200)
  t.equal(await fastify.sessions.store.count(), 1)
})

test('a browser shows one notice after a login and one after a logout', async (t) => {
  const fastify = await build(t)
  const browser = new Client(fastify)
  const login = await browser.post('/login', { client_name: 'Harry', password: '12345678' }, asBrowser)
  const notice = [login.headers['set-cookie']].flat().find((line) => line?.startsWith('hatcheck-notice='))
  for (const attribute of ['HttpOnly', 'SameSite=Lax']) t.match(notice, `; ${attribute}`)
  await fastify.inject({ method: 'HEAD', url: '/', headers: { ...asBrowser, cookie: browser.cookieHeader } })
  t.match((await browser.get('/', asBrowser)).body, '<p id="notice" class="notice good" role="status">You are logged in.</p>')
  t.notMatch((await browser.get('/', asBrowser)).body, 'You are logged in.')

  await browser.post('/logout', {}, asBrowser)
  t.match((await browser.get('/', asBrowser)).body, '<p id="notice" class="notice good" role="status">You are logged out.</p>')
  t.notMatch((await browser.get('/', asBrowser)).body, 'You are logged out.')
  t.same([...browser.cookies.keys()], ['hatcheck-device'])
})

test('a program gets no notice, and a request cannot inject text into one', async (t) => {
  const fastify = await build(t)
  for (const headers of [{}, { accept: '*/*' }, AS_PROGRAM]) {
    const program = new Client(fastify)
    await program.post('/login', { client_name: 'Harry', password: '12345678' }, headers)
    t.same([...program.cookies.keys()], ['hatcheck-device', 'hatcheck'])
    await program.post('/logout', {}, headers)
    t.same([...program.cookies.keys()], ['hatcheck-device'])
  }
  for (const value of ['<script>alert(1)</script>', 'toString', '__proto__', 'You+have+won', '']) {
    const response = await fastify.inject({ url: '/', headers: { ...asBrowser, cookie: `hatcheck-notice=${value}` } })
    t.equal(response.statusCode, 200)
    t.notMatch(response.body, 'class="notice')
    t.notMatch(response.body, '<script>')
  }
})

test('every answer has the security headers', async (t) => {
  const { fastify, routes } = await buildWithRoutes(t)
  const harry = new Client(fastify)
  const json = { 'content-type': 'application/json' }
  const answers = {
    'a redirect': await harry.login(),
    'the page of a user': await harry.get('/', asBrowser),
    'a wrong password': await harry.login('Harry', '12345679'),
    'a wrong password in a browser': await harry.post('/login', { client_name: 'Harry', password: '12345679' }, asBrowser),
    'malformed JSON': await harry.send({ method: 'POST', url: '/login', payload: '{', headers: json }),
    'a wrong type': await harry.send({ method: 'POST', url: '/login', payload: '<a/>', headers: { 'content-type': 'application/xml' } }),
    'a body too large': await harry.send({ method: 'POST', url: '/login', payload: { a: 'x'.repeat(20_000) } }),
    'another site\'s request': await harry.post('/logout', {}, { 'sec-fetch-site': 'cross-site' }),
    'a foreign host': await harry.get('/', { host: 'hatcheck.example.com' }),
    'a page that is not there': await harry.get('/no/such/page', asBrowser),
    'an address that is not there': await harry.get('/no/such/page'),
    'a method that is not there': await harry.send({ method: 'DELETE', url: '/login' }),
    'a foreign host at an address that is not there': await harry.get('/no/such/page', { host: 'hatcheck.example.com' }),
    'malformed JSON at an address that is not there': await harry.send({ method: 'POST', url: '/no/such/page', payload: '{', headers: json }),
    'a wrong type at an address that is not there': await harry.send({ method: 'POST', url: '/no/such/page', payload: '<a/>', headers: { 'content-type': 'application/xml' } }),
    ...Object.fromEntries(await Promise.all(routes.map(async (path) => [`GET ${path}`, await fastify.inject(path)] as const)))
  }
  for (const [what, { headers }] of Object.entries(answers)) {
    t.match(headers['content-security-policy'], /default-src 'none';.*form-action 'self';base-uri 'none';frame-ancestors 'none'/, what)
    t.notMatch(headers['content-security-policy'], 'unsafe', what)
    t.match(headers, {
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin'
    }, what)
    t.equal(headers['strict-transport-security'], undefined, 'not on http')
    t.equal(headers['x-powered-by'], undefined)
  }
})

test('the page obeys its own policy: one style, identified by its hash, and no script', async (t) => {
  const { createHash } = await import('node:crypto')
  const fastify = await build(t)
  for (const url of ['/', '/login', '/no/such/page']) {
    const { body, headers } = await fastify.inject({ url, headers: asBrowser })
    const styles = [...body.matchAll(/<style>([^]*?)<\/style>/g)].map(([, style]) => style as string)
    t.equal(styles.length, 1)
    t.match(headers['content-security-policy'], `style-src 'sha256-${createHash('sha256').update(styles[0] as string).digest('base64')}'`)
    t.notMatch(body, /<script|\son\w+=|\sstyle=|javascript:|https?:\/\/(?!www\.w3\.org)/i)
  }
})

test('over https, the answer has Strict-Transport-Security', async (t) => {
  const fastify = await build(t, { mode: 'service', signup: 'open', passwordMinLength: 8 }, { trustProxy: true })
  const { headers } = await fastify.inject({ url: '/', headers: { 'x-forwarded-proto': 'https' } })
  t.match(headers['strict-transport-security'], 'max-age=31536000')
})

test('an error is problem+json for every client that does not ask for HTML', async (t) => {
  const fastify = await build(t)
  await new Client(fastify).login()
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const cases = [
    { url: '/no/such/page', method: 'GET', status: 404, title: 'Not Found', code: 'HATCHECK_NOT_FOUND' },
    { url: '/login', method: 'DELETE', status: 405, title: 'Method Not Allowed', code: 'HATCHECK_METHOD_NOT_ALLOWED' },
    { url: '/login', method: 'POST', payload: 'client_name=Harry&password=wrong+password', headers: form, status: 401, title: 'Unauthorized', code: 'HATCHECK_WRONG_CREDENTIALS' },
    { url: '/login', method: 'POST', payload: 'password=12345678', headers: form, status: 400, title: 'Bad Request', code: 'HATCHECK_NAME' },
    { url: '/login', method: 'POST', payload: 'client_name=Harry', headers: form, status: 400, title: 'Bad Request', code: 'HATCHECK_PASSWORD' },
    { url: '/login', method: 'POST', payload: '{', headers: { 'content-type': 'application/json' }, status: 400, title: 'Bad Request', code: /^FST_/ },
    { url: '/logout', method: 'POST', headers: { 'sec-fetch-site': 'cross-site' }, status: 403, title: 'Forbidden', code: 'HATCHECK_CROSS_ORIGIN' },
    { url: '/', method: 'GET', headers: { host: 'example.com' }, status: 403, title: 'Forbidden', code: 'HATCHECK_DEMO_MODE' }
  ] as const
  for (const { url, method, status, title, code, ...rest } of cases) {
    for (const value of [undefined, '*/*', 'application/json', 'application/problem+json', 'text/plain']) {
      const headers = { ...'headers' in rest && rest.headers, ...accept(value) }
      const response = await fastify.inject({ url, method, headers, ...'payload' in rest && { payload: rest.payload } })
      t.equal(response.statusCode, status, `${method} ${url} for ${value}`)
      t.equal(response.headers['content-type'], 'application/problem+json; charset=utf-8')
      t.match(response.json(), { type: 'about:blank', title, status, detail: /^[A-Z].{10}/, code })
      t.same(Object.keys(response.json()).sort(), ['code', 'detail', 'status', 'title', 'type'])
    }
    const headers = { ...'headers' in rest && rest.headers, ...asBrowser }
    const page = await fastify.inject({ url, method, headers, ...'payload' in rest && { payload: rest.payload } })
    t.equal(page.statusCode, status)
    t.equal(page.headers['content-type'], 'text/html; charset=utf-8')
    t.match(page.body, /<h1>/)
  }
})

test('an unknown address is a 404 for every method, whatever the body', async (t) => {
  const fastify = await build(t, { mode: 'service', authenticate: () => null })
  const json = { 'content-type': 'application/json' }
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'QUERY']) {
    for (const [headers, payload] of [[{}, ''], [json, ''], [json, '{'], [json, `"${'a'.repeat(2_000_000)}"`], [{ 'content-type': 'text/plain' }, 'a']] as const) {
      const { statusCode, headers: { 'content-type': type }, body } = await fastify.inject({ url: '/no/such/page', method: method as 'POST', headers, payload })
      t.match([statusCode, type, body], [404, 'application/problem+json; charset=utf-8', 'HATCHECK_NOT_FOUND'], `${method} with ${payload.slice(0, 9)}`)
    }
  }
})

test('an answer does not disclose internal errors', async (t) => {
  const fastify = await build(t, { authenticate: () => { throw new Error('the password of the database is hunter2') } })
  for (const headers of [{}, asBrowser]) {
    const response = await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678' }, headers)
    t.equal(response.statusCode, 500)
    t.notMatch(response.body, 'hunter2')
    t.match(response.body, 'Something went wrong.')
    t.equal(response.headers['set-cookie'], undefined)
  }
})

test('"Keep me signed in" gives the cookie a Max-Age', async (t) => {
  const fastify = await build(t, { permanentSessionLifetime: 1_000, permanentSessionIdleTimeout: 500 })
  for (const permanent of ['on', 'true', '1']) {
    const response = await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678', permanent })
    t.match(sessionCookieOf(response), /^hatcheck=\S+; Max-Age=1000; Path=\/; HttpOnly; SameSite=Lax$/i)
  }
  const json = await fastify.inject({ method: 'POST', url: '/login', payload: { client_name: 'Harry', password: '12345678', permanent: true } })
  t.match(sessionCookieOf(json), 'Max-Age=1000')
  for (const permanent of ['', 'off', 'false', '0']) {
    const response = await new Client(fastify).post('/login', { client_name: 'Harry', password: '12345678', permanent })
    t.match(sessionCookieOf(response), /^hatcheck=\S+; Path=\/; HttpOnly; SameSite=Lax$/i, permanent)
  }
  t.notMatch(sessionCookieOf(await new Client(fastify).login()), /Max-Age|Expires/i)
})

test('a second login in the same browser changes the ID, and the first ticket grants no access', async (t) => {
  const fastify = await build(t)
  const harry = new Client(fastify)
  await harry.login()
  const { cookieHeader } = harry
  await harry.login('Sally', '87654321')
  t.not(harry.cookieHeader, cookieHeader)
  t.match((await harry.get('/')).body, 'Sally Your account is logged in.')
  t.match((await new Client(fastify).get('/', { cookie: cookieHeader })).body, 'You are not logged in')
  t.equal(await fastify.sessions.store.count(), 1)
})

test('pages that depend on the user are not stored in any cache', async (t) => {
  const fastify = await build(t)
  const harry = new Client(fastify)
  for (const response of [await harry.get('/'), await harry.get('/login'), await harry.login(), await harry.get('/'), await harry.get('/logout')]) {
    t.equal(response.headers['cache-control'], 'no-store')
    t.match(response.headers.vary, 'Cookie')
  }
})

test('the prefix applies to every link, form and redirect', async (t) => {
  const authenticate = (name: string, password: string): { name: string } | null => password === '12345678' ? { name } : null
  const fastify = await buildHost(t, { routes: true, prefix: '/auth', authenticate })
  fastify.get('/', async () => 'the application\'s own page')
  fastify.get('/private', { preHandler: fastify.requireLogin }, async (request) => `for ${request.user?.name}`)

  const browser = new Client(fastify)
  const pages: string[] = []
  const page = async (url: string): Promise<string> => {
    const { body } = await browser.get(url, asBrowser)
    pages.push(body)
    return body
  }
  t.match(await page('/auth/'), 'href="/auth/login"')
  t.match(await page('/auth'), 'You are not logged in')
  t.match(await page('/auth/login'), 'action="/auth/login"')
  t.match(await page('/auth/login'), 'name="next" value="/auth/"')

  const wrong = await browser.post('/auth/login', { client_name: 'Harry', password: 'wrong' }, asBrowser)
  t.equal(wrong.statusCode, 401)
  pages.push(wrong.body)
  const large = await browser.post('/auth/login', { client_name: 'x'.repeat(20_000) }, asBrowser)
  t.equal(large.statusCode, 413)
  t.match(large.body, '<a href="/auth/">Back to the start</a>')
  pages.push(large.body)

  const closed = await browser.get('/private?a=1', asBrowser)
  t.equal(closed.statusCode, 303)
  t.equal(closed.headers.location, '/auth/login?next=%2Fprivate%3Fa%3D1')
  const login = await browser.post('/auth/login', { client_name: 'Harry', password: '12345678', next: '/private?a=1' }, asBrowser)
  t.equal(login.headers.location, '/private?a=1', 'next can be any page of the application')
  t.equal((await browser.get('/private?a=1', asBrowser)).body, 'for Harry')
  t.equal((await browser.get('/auth/login')).headers.location, '/auth/')

  const home = await page('/auth/')
  t.match(home, 'Harry Your account is logged in.')
  t.match(home, 'You are logged in.')
  t.match(home, 'action="/auth/logout"')
  t.notMatch(await page('/auth/'), 'You are logged in.')
  const { body: confirmation } = await browser.get('/auth/logout', { ...asBrowser, 'sec-fetch-site': 'cross-site' })
  t.match(confirmation, 'action="/auth/logout"')
  pages.push(confirmation)
  const logout = await browser.post('/auth/logout', {}, asBrowser)
  t.equal(logout.headers.location, '/auth/')
  t.match(await page('/auth/'), 'You are logged out.')
  t.same([...browser.cookies.keys()], ['hatcheck-device'])

  for (const body of pages) t.notMatch(body, /(?:href|action)="\/(?!auth\/)/, 'no address outside the prefix')
  t.equal((await browser.get('/')).body, 'the application\'s own page')
  t.equal((await browser.get('/login')).statusCode, 404)
  t.notMatch((await browser.get('/login')).body, 'HATCHECK', 'the application\'s own answer')
})

/** The service and the path of every route that it has, now and later. */
async function buildWithRoutes (t: Test): Promise<{ fastify: FastifyInstance, routes: string[] }> {
  const paths = new Set<string>()
  const fastify = newFastify(t)
  fastify.addHook('onRoute', ({ url }) => { paths.add(url.replace(/[:*]\w*/g, 'x')) })
  await fastify.register(hatcheckService, { mode: 'demo', sessionStore: 'memory:', secretKey: testKey })
  await fastify.ready()
  return { fastify, routes: [...paths].filter((path) => path !== '') }
}

function cookieNames (header: string | string[] | undefined): Array<{ name: string, value: string }> {
  return [header ?? []].flat().map((cookie) => {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
    return { name, value }
  })
}
