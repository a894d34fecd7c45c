import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { test } from 'tap'
import { logInto } from '../apps/log-lines.js'
import { Client } from '../clients/client.js'
import { build } from '../helper.js'
import { openStore, watched } from '../stores/watched-store.js'
import { realDelays } from '../time/calm-loop.js'
import { until } from '../time/loop-clock.js'

test('while the event loop is late, requests are refused before any work, and served again when it is on time', { timeout: 60_000 }, async (t) => {
  realDelays(t)
  const calls: string[] = []
  const lines: string[] = []
  const store = watched(openStore(t, 'memory:'), (call) => { calls.push(call) }, false)
  const asked: string[] = []
  const fastify = await build(t, {
    mode: 'service',
    sessionStore: store,
    authenticate (name) {
      asked.push(name)
      return { name }
    }
  }, logInto(lines, 'info'))
  const harry = new Client(fastify)
  await harry.login()
  await harry.get('/metrics')
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  const send = (method: string, path: string, { accept = '*/*', cookie = harry.cookieHeader, body = '' } = {}): string =>
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\nCookie: ${cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const requests: Array<[request: string, status: number]> = [
    [send('GET', '/', { accept: 'text/html' }), 503],
    [send('GET', '/session'), 503],
    [send('POST', '/login', { body: 'client_name=Ron&password=12345678' }), 503],
    [send('GET', '/verify'), 503],
    [send('GET', '/readyz'), 503],
    [send('GET', '/nothing'), 503],
    [send('DELETE', '/login'), 503],
    [send('GET', '/healthz', { cookie: '' }), 200],
    [send('GET', '/metrics', { cookie: '' }), 200]
  ]
  const client = connect({ host: '127.0.0.1', port })
  await once(client, 'connect')
  let text = ''
  client.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
  const turn = async (): Promise<void> => {
    const until = performance.now() + 1_100
    while (performance.now() < until);
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const isReady = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200
  for (let turns = 0; turns < 20 && await isReady(); turns++) await turn()
  calls.length = lines.length = asked.length = 0
  client.write(requests.map(([request]) => request).join(''))
  const statuses = (): number[] => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))
  for (let turns = 0; turns < 20 && statuses().length < requests.length; turns++) await turn()
  t.strictSame(statuses(), requests.map(([, status]) => status))
  t.strictSame([calls, asked], [['count'], []], 'no session is read and no password checked')
  const answers = text.split(/(?=HTTP\/1\.1 )/)
  for (const answer of answers.slice(0, 7)) t.match(answer, /^retry-after: 1\r$/m)
  t.match(answers[0], '<h1>Service Unavailable</h1><p>The service is overloaded.')
  t.match(answers[0], 'content-security-policy')
  t.match(answers[1], '"status":503,"detail":"The service is overloaded. Try again in a moment.","code":"HATCHECK_OVERLOADED"')
  t.match(answers[3], 'remote-user: \r\nremote-session: \r\n', 'no header of a client is left in place')
  t.match(answers[8], 'hatcheck_http_requests_shed_total 8\n', 'and the one that showed the overload')
  t.notMatch(lines.join(''), /"level":[45]0/, 'no line per request, at warn or above')
  client.destroy()
  await until('it is served again', isReady)
  t.match((await harry.get('/')).body, 'Harry Your account is logged in.')
})
