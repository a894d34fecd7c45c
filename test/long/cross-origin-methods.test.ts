import { test } from 'tap'
import { Client } from '../clients/client.js'
import { ORIGINS, PARTNER, SITES, headersOf, mayChange, type Site } from '../clients/cross-site.js'
import { build } from '../helper.js'
import { openStore, watched, type StoreCall } from '../stores/watched-store.js'

test('of all methods, addresses, origins and body types, only allowed requests change anything', async (t) => {
  let changes = 0
  const store = watched(openStore(t, 'memory:'), (call) => { if (!READING.has(call)) changes++ })
  const fastify = await build(t, { mode: 'service', sessionCookieSecure: 'false', sessionStore: store, allowedOrigins: [PARTNER], authenticate: (name) => ({ name }) })
  const harry = new Client(fastify)
  await harry.login()
  const bodies: Array<[type: string | undefined, payload: string]> = [
    ['application/x-www-form-urlencoded', 'client_name=Sally&password=12345678'], ['application/json', '{"client_name":"Sally","password":"12345678"}'],
    ['text/plain', '{"client_name":"Sally","password":"12345678"}'], ['multipart/form-data; boundary=x', '--x--'], [undefined, '']
  ]
  const wrong: string[] = []
  let sent = 0
  for (const site of SITES) {
    for (const origin of ORIGINS) {
      const may = mayChange(site, origin, [PARTNER])
      for (const url of ['/', '/login', '/logout']) {
        for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'PATCH'] as const) {
          for (const [index, [type, payload]] of bodies.entries()) {
            // For the other methods the body makes no difference: test/http.test.ts covers them.
            if (method !== 'POST' && index !== 4) continue
            changes = 0
            const cookie = harry.cookieHeader
            const { statusCode, headers } = await fastify.inject({
              method, url, payload, headers: { cookie, ...headersOf(site, origin), ...type !== undefined && { 'content-type': type } }
            })
            sent++
            const [status, changed] = verdict(method, url, index, may, site)
            const what = `${method} ${url} as ${type}, Sec-Fetch-Site: ${site}, Origin: ${origin}`
            if (statusCode !== status || (changes > 0) !== changed || (headers['set-cookie'] !== undefined) !== changed) wrong.push(`${what} → ${statusCode}, ${changes} changes, expected ${status}`)
            if (changed) await harry.login()
          }
        }
      }
    }
  }
  t.strictSame(wrong.slice(0, 10), [], `${sent} requests`)
})

const READING: ReadonlySet<StoreCall> = new Set(['read', 'touch', 'sweep', 'count', 'ofUser', 'close'])

/** The status, and whether something changes, written independently of the code. */
function verdict (method: string, url: string, body: number, may: boolean, site: Site): [status: number, changes: boolean] {
  const isLogin = url === '/login'
  switch (method) {
    case 'OPTIONS': return [204, false]
    case 'HEAD': return [isLogin ? 303 : 200, false]
    case 'GET':
      if (url !== '/logout') return [isLogin ? 303 : 200, false]
      // A link on another site sends these headers; a request without them comes from a typed address.
      return site === 'same-origin' || site === 'none' || (site === undefined && may) ? [303, true] : [200, false]
    case 'POST':
      if (url === '/') return [405, false]
      if (!may) return [403, false]
      if (body < 2) return [303, true]
      if (body < 4) return [415, false]
      return isLogin ? [400, false] : [303, true]
    default: return [405, false]
  }
}
