import { strict as assert } from 'node:assert'
import { Client } from '../test/clients/client.js'

/** Logs Harry in to a service, and returns the headers with which he asks for pages. */
export async function headersOfHarry ({ name, url }: { name: string, url: string }): Promise<{ accept: string, cookie: string }> {
  const client = new Client(url)
  const payload = { client_name: 'Harry', password: 'a phrase that is on no list' }
  const { statusCode } = await client.send({ method: 'POST', url: '/login', headers: { accept: 'application/json' }, payload })
  const cookie = client.cookieHeader
  assert.equal(statusCode, 200, `${name}: the login answers ${statusCode}`)
  assert.notEqual(cookie, '', `${name}: the login sets no cookie`)
  return { accept: 'text/html', cookie }
}
