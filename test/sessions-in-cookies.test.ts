import { test } from 'tap'
import { Client } from './client.js'
import { build } from './helper.js'

test('the walk-through works with sessions in cookies', async (t) => {
  const fastify = await build(t, { sessionStore: 'cookie:memory:' })
  const client = new Client(fastify)
  const answer = await client.login()
  t.equal(answer.statusCode, 303, answer.body)
  const cookie = client.cookie()
  t.match((await client.get('/', { accept: 'application/json' })).json(), { user: { name: 'Harry' } })
  t.equal((await client.put('/session/cart', ['apple'])).statusCode, 201)
  t.strictSame((await client.get('/session/cart')).json(), ['apple'])
  t.equal((await client.get('/logout')).statusCode, 303)
  t.match((await client.get('/', { accept: 'application/json', cookie })).json(), { user: null })
})
