import { test } from 'tap'
import { Client } from './client.js'
import { build } from './helper.js'

test('the walk-through of the article works with inject', async (t) => {
  const harry = new Client(await build(t))

  const before = await harry.get('/')
  t.match(before.body, 'You are not logged in')
  t.match(before.body, /<a [^>]*href="\/login"[^>]*>Log in your account here<\/a>/)

  const login = await harry.login()
  t.equal(login.statusCode, 303)
  t.equal(login.headers.location, '/')
  t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
  t.match((await harry.get('/')).body, 'Log out your account here')

  const { cookieHeader } = harry
  const logout = await harry.get('/logout')
  t.equal(logout.statusCode, 303)
  t.equal(logout.headers.location, '/')
  t.same([...harry.cookies.keys()], ['hatcheck-device'], 'what is left opens nothing')
  t.match((await harry.get('/')).body, 'You are not logged in')
  t.match((await harry.get('/', { cookie: cookieHeader })).body, 'You are not logged in')
})
