import { strict as assert } from 'node:assert'
import { Client } from '../test/client.js'
import type { Child } from './child.js'

export const states = ['logged in', 'anonymous'] as const

export type State = typeof states[number]

/** The headers of a request, by who makes it. */
export type Visitors = Record<State, Record<string, string>>

const expected: Record<State, string> = {
  'logged in': 'Harry Your account is logged in.',
  anonymous: 'You are not logged in'
}

/** Logs Harry in. */
export async function visitorsOf ({ name, url }: Child): Promise<Visitors> {
  const client = new Client(url)
  const payload = { client_name: 'Harry', password: 'a phrase that is on no list' }
  const { statusCode } = await client.send({ method: 'POST', url: '/login', headers: { accept: 'application/json' }, payload })
  const cookie = client.cookieHeader
  assert.equal(statusCode, 200, `${name}: the login answers ${statusCode}`)
  assert.notEqual(cookie, '', `${name}: the login sets no cookie`)
  const accept = 'text/html'
  return { 'logged in': { accept, cookie }, anonymous: { accept } }
}

/**
 * Asserts that everybody gets the right page from everyone, so that nobody is measured while failing; and that it is
 * the same page, byte for byte.
 */
export async function verify (children: ReadonlyMap<Child, Visitors>): Promise<void> {
  for (const state of states) {
    let page: string | undefined
    for (const [{ name, url }, visitors] of children) {
      const { statusCode, body } = await new Client(url).get('/', visitors[state])
      assert.equal(statusCode, 200, `${name}, ${state}: answers ${statusCode}`)
      assert.ok(body.includes(expected[state]), `${name}, ${state}: the page does not say "${expected[state]}"`)
      page ??= body
      assert.equal(body, page, `${name}, ${state}: another page than the others send. bench/page.ts must say what routes/home.ts says.`)
    }
  }
}
