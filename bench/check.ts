import { strict as assert } from 'node:assert'
import { Client, type Answer } from '../test/clients/client.js'
import type { Contender } from './contenders/contender.js'
import { requestOf, type RequestName } from './requests.js'

/** What a contender sends to Harry, and to a visitor without a session. */
export interface Pages {
  loggedIn: string
  anonymous: string
}

/**
 * Asserts that a contender answers each request correctly and stores what it is told to: one that fails could be the
 * fastest.
 */
export async function check (contender: Contender, url: string): Promise<Pages> {
  const { name } = contender
  const harry = new Client(url)
  const send = async (client: Client, request: RequestName, word = ''): Promise<Answer | null> => {
    const template = requestOf(contender, request)
    if (template === null) return null
    const { method, path, headers = {}, body } = template
    return await client.send({
      method,
      url: path,
      headers: { ...headers, ...body === undefined ? {} : { 'content-type': 'application/json' } },
      ...body === undefined ? {} : { payload: body(word) }
    })
  }
  const page = async (client: Client, text: string): Promise<string> => {
    const { statusCode, body } = await send(client, 'page') ?? { statusCode: 0, body: '' }
    assert.equal(statusCode, 200, `${name}: the page is answered with ${statusCode}`)
    assert.ok(body.includes(text), `${name}: the page does not say "${text}"`)
    return body
  }
  const verify = async (client: Client, status: number): Promise<void> => {
    const answer = await send(client, 'verify')
    if (answer === null) return
    assert.equal(answer.statusCode, status, `${name}: /verify answers ${answer.statusCode} instead of ${status}`)
    if (status === 204) assert.equal(answer.body, '', `${name}: /verify has a body`)
  }

  const anonymous = await page(new Client(url), 'You are not logged in')
  await verify(new Client(url), 401)
  const login = await send(harry, 'login', 'Harry')
  assert.ok(login !== null && login.statusCode < 400, `${name}: the login is answered with ${login?.statusCode} ${login?.body}`)
  assert.notEqual(harry.cookieHeader, '', `${name}: the login sets no cookie`)
  const loggedIn = await page(harry, 'Harry Your account is logged in.')
  await verify(harry, 204)
  for (const visits of ['123456', '654321']) {
    const change = await send(harry, 'change', visits)
    assert.ok(change === null || change.statusCode < 300, `${name}: a change is answered with ${change?.statusCode} ${change?.body}`)
    const value = await send(harry, 'value')
    assert.ok(value === null || value.body.includes(visits), `${name}: the change to ${visits} is not stored: ${value?.body}`)
  }
  const logout = await send(harry, 'logout')
  if (logout !== null) {
    assert.ok(logout.statusCode < 400, `${name}: the logout is answered with ${logout.statusCode} ${logout.body}`)
    // The bare ones keep no session that could end.
    if (requestOf(contender, 'value') !== null) await page(harry, 'You are not logged in')
  }
  return { loggedIn, anonymous }
}

/** Asserts that all pages are the same, byte for byte. */
export function assertAlike (pages: ReadonlyMap<Contender, Pages>): void {
  for (const state of ['loggedIn', 'anonymous'] as const) {
    let first: string | undefined
    for (const [{ name, isOther }, { [state]: body }] of pages) {
      if (isOther === true) continue
      first ??= body
      // Not assert.equal, which would print both pages.
      assert.ok(body === first, `${name}: another page than the others send. bench/page.ts must say what routes/home.ts says.`)
    }
  }
}
