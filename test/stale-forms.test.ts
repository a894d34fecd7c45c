import type { FastifyInstance } from 'fastify'
import { test } from 'tap'
import { AS_BROWSER, AS_PROGRAM } from './clients/accept.js'
import { Client, userOf, logIn } from './clients/client.js'
import { build, buildHost } from './helper.js'
import './time/cheap-hashes.js'
import { MINUTE } from './time/units.js'

const PASSWORD = '12345678'
const CHANGE = { current_password: PASSWORD, new_password: 'chosen by Ron', new_password_again: 'chosen by Ron' }

/** The fields of a page that already have a value, as a browser sends them. */
async function fieldsOf (client: Client, url: string): Promise<Record<string, string>> {
  const { body } = await client.get(url, AS_BROWSER)
  return Object.fromEntries([...body.matchAll(/<input(?: type="hidden")? name="(\w+)" value="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]))
}

/** A browser in which Ron has loaded a page and Harry has logged in after that, and another browser of Harry. */
async function shared (fastify: FastifyInstance, url: string): Promise<{ browser: Client, fields: Record<string, string>, elsewhere: string }> {
  const browser = new Client(fastify)
  await browser.login('Ron')
  const fields = await fieldsOf(browser, url)
  await browser.login('Harry')
  return { browser, fields, elsewhere: await logIn(fastify, 'Harry') }
}

test('a password form that another user has loaded changes no password', async (t) => {
  const fastify = await build(t)
  const { browser, fields, elsewhere } = await shared(fastify, '/password')
  const page = await browser.post('/password', { ...fields, ...CHANGE }, AS_BROWSER)
  t.equal(page.statusCode, 409)
  t.match(page.body, 'Another user has logged in since this page was loaded. Nothing has been changed.')
  t.match(page.body, '<form method="post" action="/logout">', 'Ron can log Harry out, and log in')
  t.match((await browser.post('/password', { ...fields, ...CHANGE }, AS_PROGRAM)).json(), { status: 409, code: 'HATCHECK_OTHER_USER' })
  t.equal(await userOf(fastify, elsewhere), 'Harry')
  t.equal((await new Client(fastify).login('Harry', PASSWORD)).statusCode, 303)
})

test('a list of sessions that another user has loaded ends none', async (t) => {
  let time = Date.UTC(2026, 0, 31)
  const fastify = await build(t, { now: () => time })
  const { browser, fields, elsewhere } = await shared(fastify, '/sessions')
  t.match((await browser.post('/sessions', { ...fields, others: '1' }, AS_PROGRAM)).json(), { code: 'HATCHECK_OTHER_USER' })
  time += 11 * MINUTE
  t.equal((await browser.post('/sessions', { ...fields, others: '1', password: PASSWORD }, AS_BROWSER)).statusCode, 409)
  t.equal(await userOf(fastify, elsewhere), 'Harry')
})

test('the form that asks for the password names its user to password managers, which may fill in another name', async (t) => {
  let time = Date.UTC(2026, 0, 31)
  const fastify = await buildHost(t, { now: () => time, routes: true, authenticate: async (name) => ({ name: `${name} <${name}@example.com>` }) })
  const client = new Client(fastify)
  await client.login('harry')
  time += 11 * MINUTE
  const { body } = await client.post('/sessions', { others: '1' }, AS_BROWSER)
  t.match(body, '<input name="client_name" value="harry &#60;harry@example.com&#62;" autocomplete="username" readonly hidden>')
  t.match(body, '<input type="hidden" name="user" value="harry &#60;harry@example.com&#62;">')
  t.equal((await client.post('/sessions', { user: 'harry <harry@example.com>', client_name: 'harry', others: '1', password: 'x' }, AS_PROGRAM)).statusCode, 401)
})

test('the user can be named in another spelling, or not at all', async (t) => {
  const fastify = await build(t)
  const client = new Client(fastify)
  await client.login('Harry')
  t.match((await client.post('/password', { ...CHANGE, user: 'HARRY' }, AS_PROGRAM)).json(), { ended: 0 })
  t.match((await client.post('/sessions', { others: '1' }, AS_PROGRAM)).json(), { ended: 0 })
  for (const wrong of ['Ron', '', 'x'.repeat(10_000), ['Harry', 'Ron'], 5]) {
    t.match((await client.send({ method: 'POST', url: '/sessions', headers: AS_PROGRAM, payload: { others: '1', user: wrong } })).json(), { code: 'HATCHECK_OTHER_USER' }, String(wrong).slice(0, 10))
  }
})
