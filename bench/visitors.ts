import { strict as assert } from 'node:assert'
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
  const response = await fetch(new URL('/login', url), {
    method: 'POST',
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'Harry', password: 'a phrase that is on no list' })
  })
  const cookie = response.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ')
  assert.equal(response.status, 200, `${name}: the login answers ${response.status}`)
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
      const response = await fetch(url, { headers: visitors[state] })
      const text = await response.text()
      assert.equal(response.status, 200, `${name}, ${state}: answers ${response.status}`)
      assert.ok(text.includes(expected[state]), `${name}, ${state}: the page does not say "${expected[state]}"`)
      page ??= text
      assert.equal(text, page, `${name}, ${state}: another page than the others send. bench/page.ts must say what routes/home.ts says.`)
    }
  }
}
