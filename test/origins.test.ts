import { test } from 'tap'
import { isOriginOrPattern, originMatcher } from '../plugins/config/origins.js'
import { flawOfDomain } from '../plugins/config/own-domain.js'
import { build } from './helper.js'

test('a star in an origin matches every host below the domain, and no other', (t) => {
  const isAllowed = originMatcher(['https://*.example.com'])
  for (const origin of ['https://a.example.com', 'https://a.b.example.com']) t.ok(isAllowed(origin), origin)
  for (const origin of ['https://example.com', 'https://evil-example.com', 'https://a.example.com.evil', 'http://a.example.com', 'https://a.example.com:444', 'https://u@a.example.com', 'https://evil.com/.example.com', 'https://.example.com', 'null']) t.notOk(isAllowed(origin), origin)
  for (const text of ['https://a.example.com', 'http://localhost:8080', 'https://[::1]:8443', 'https://xn--bcher-kva.example', 'https://a_b.example.com']) t.ok(isOriginOrPattern(text), text)
  for (const text of ['https://*', 'https://*.com', 'https://a.*.com', 'https://*a.example.com', 'https://*.example.com:443', '*', 'ftp://a.example.com', 'https://a.example.com;script-src']) t.notOk(isOriginOrPattern(text), text)
  t.end()
})

test('a public suffix is refused as a cookie domain, and a host outside the domain is a 400', async (t) => {
  for (const domain of ['com', '.com', 'localhost', '127.0.0.1', '0x7f.1', 'co.uk', 'github.io', 'app.localhost']) {
    t.not(await flawOfDomain(domain), null, domain)
    await t.rejects(build(t, { sessionCookieDomain: domain }), { code: 'HATCHECK_CONFIG' })
  }
  for (const domain of ['a..com', 'a-.com', 'a.-b.com', 'a.']) await t.rejects(build(t, { sessionCookieDomain: domain }), { code: 'HATCHECK_CONFIG', message: /^(?:sessionCookieDomain|SESSION_COOKIE_DOMAIN) must be a domain such as example\.com; got / }, domain)
  for (const domain of ['example.com', '.example.co.uk', 'corp.internal']) t.equal(await flawOfDomain(domain), null, domain)
  await t.rejects(build(t, { allowedOrigins: 'https://*.example.com, https://*.co.uk' }), {
    code: 'HATCHECK_CONFIG',
    message: 'ALLOWED_ORIGINS can have a star below a domain of your own, such as https://*.example.com; in "https://*.co.uk", "co.uk" is a public suffix.'
  })
  const fastify = await build(t, { mode: 'service', sessionCookieSecure: 'false', sessionCookieDomain: 'example.com', authenticate: (name) => ({ name }) })
  const login = async (host: string): Promise<{ statusCode: number, body: string }> => await fastify.inject({ method: 'POST', url: '/login', headers: { host }, payload: { client_name: 'Harry', password: 'x' } })
  for (const host of ['example.com', 'example.com:', 'a.example.com:80', 'A.B.EXAMPLE.com']) t.match(await login(host), { statusCode: 303 }, host)
  for (const host of ['evil-example.com', 'example.com.evil', 'localhost']) t.match(await login(host), { statusCode: 400, body: host }, host)
})
