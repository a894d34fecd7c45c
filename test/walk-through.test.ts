import { test } from 'tap'
import { Client } from './clients/client.js'
import { build } from './helper.js'

// The same over a real curl and a real process: the walk-throughs of the pages, in readme.test.ts.

test('the walk-through of the article works with inject', async (t) => {
  const harry = new Client(await build(t))

  const before = await harry.get('/')
  t.equal(before.statusCode, 200)
  t.match(before.headers['content-type'], /^text\/html; charset=utf-8/)
  t.match(before.body, 'You are not logged in')
  t.match(before.body, /<a [^>]*href="\/login"[^>]*>Log in your account here<\/a>/)
  t.equal(before.headers['set-cookie'], undefined)

  const form = await harry.get('/login')
  t.equal(form.statusCode, 200)
  t.match(form.body, /<form method="post" action="\/login">/)
  t.match(form.body, /name="client_name"/)
  t.match(form.body, /name="password"/)

  const login = await harry.login()
  t.equal(login.statusCode, 303)
  t.equal(login.headers.location, '/')
  t.ok(harry.cookies.has('hatcheck'))
  const after = await harry.get('/')
  t.match(after.body, 'Harry Your account is logged in.')
  t.match(after.body, 'Log out your account here')
  t.notMatch(after.body, 'You are not logged in')

  const { cookieHeader } = harry
  const logout = await harry.get('/logout')
  t.equal(logout.statusCode, 303)
  t.equal(logout.headers.location, '/')
  t.same([...harry.cookies.keys()], ['hatcheck-device'], 'what is left grants no access')
  t.match((await harry.get('/')).body, 'You are not logged in')
  t.match((await harry.get('/', { cookie: cookieHeader })).body, 'You are not logged in')
})

test('the walk-through works in JSON, with a form and with a JSON body', async (t) => {
  const fastify = await build(t)
  const accept = 'application/json'
  const credentials = { client_name: 'Harry', password: '12345678' }
  const ways = [
    (client: Client) => client.post('/login', credentials, { accept }),
    (client: Client) => client.send({ method: 'POST', url: '/login', headers: { accept }, payload: credentials })
  ]
  for (const logIn of ways) {
    const harry = new Client(fastify)
    const read = async (): Promise<unknown> => {
      const answer = await harry.get('/', { accept })
      t.match(answer.headers['content-type'], /^application\/json/)
      return answer.json()
    }
    t.same(await read(), { user: null })
    const login = await logIn(harry)
    t.match(login.headers['content-type'], /^application\/json/)
    const { user, next } = login.json()
    t.equal(user.name, 'Harry')
    t.equal(next, '/')
    t.ok(Math.abs(Date.parse(user.authenticatedAt) - Date.now()) < 60_000)
    t.same(await read(), { user })
    const logout = await harry.send({ method: 'POST', url: '/logout', headers: { accept } })
    t.match(logout.headers['content-type'], /^application\/json/)
    t.same(logout.json(), { user: null })
    t.same(await read(), { user: null })
  }
})
