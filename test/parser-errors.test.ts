import tap, { test } from 'tap'
import { exchange, openSocket, type RawAnswer } from './clients/raw-client.js'
import { startService } from './processes/service.js'
import { until } from './time/loop-clock.js'

const FORM = 'client_name=Harry&password=a+long+password'
const LOGIN = `POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${FORM.length}\r\n\r\n${FORM}`
const ALIVE = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
const LOGIN_PAGE = 'GET /login HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n'

const { url } = await startService(tap, tap.testdir(), { SESSION_STORE: 'memory:', SIGNUP: 'open', SESSION_COOKIE_SECURE: 'false' })
const port = Number(new URL(url).port)

async function answersTo (text: string): Promise<RawAnswer[]> {
  const { answers, isClosed } = await exchange(port, text)
  if (!isClosed) throw new Error('the connection does not end')
  return answers
}

const statusesOf = (answers: readonly RawAnswer[]): number[] => answers.map(({ status }) => status)

test('an invalid request is answered after the requests before it', async (t) => {
  const answers = await answersTo(`${LOGIN}${ALIVE}${LOGIN_PAGE}no request\r\n\r\n`)
  t.strictSame(statusesOf(answers), [303, 200, 200, 400])
  const [, , page, refusal] = answers
  t.match(refusal?.head, /content-type: application\/problem\+json/i)
  t.match(refusal?.head, /connection: close/i)
  t.same(JSON.parse(refusal?.body ?? '').code, 'HATCHECK_BAD_REQUEST')
  const policy = /content-security-policy: [^\r]+/i
  t.equal(policy.exec(refusal?.head ?? '')?.[0], policy.exec(page?.head ?? '')?.[0], 'with the security headers of all answers')
})

for (const [what, head, status, code, detail = /./] of [
  ['a header that is too large', `GET / HTTP/1.1\r\nHost: localhost\r\na: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'HATCHECK_HEADER_SIZE'],
  ['chunk extensions that are too large', `POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}\r\na\r\n0\r\n\r\n`, 413, 'HATCHECK_CHUNK_EXTENSIONS'],
  ['an unknown method', 'FOO /login HTTP/1.1\r\nHost: localhost\r\n\r\n', 400, 'HATCHECK_BAD_REQUEST', /method is unknown/],
  ['a length that is not a number', 'POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n', 400, 'HATCHECK_BAD_REQUEST']
] as const) {
  test(`${what} is answered once, and later requests on the connection are not`, async (t) => {
    const answers = await answersTo(`${ALIVE}${head}${ALIVE}`)
    t.strictSame(statusesOf(answers), [200, status])
    t.match(JSON.parse(answers[1]?.body ?? ''), { code, detail })
  })
}

test('requests are read strictly, also if Node is told to read them leniently', async (t) => {
  const { url, output } = await startService(t, t.testdir(), { SESSION_STORE: 'memory:', METRICS_PORT: '0', NODE_OPTIONS: '--insecure-http-parser' })
  await until('it has started', () => output().includes('metrics at'))
  const [, metrics = ''] = /metrics at (http:[^"]+)/.exec(output()) ?? []
  for (const address of [url, metrics]) {
    for (const [what, text] of [
      ['lines that end without CR', 'GET /metrics HTTP/1.1\nHost: localhost\n\n'],
      ['a NUL in a header', 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nA: a\0b\r\n\r\n'],
      ['a folded header', 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nA: a\r\n b\r\n\r\n'],
      ['an unknown version', 'GET /metrics HTTP/1.2\r\nHost: localhost\r\n\r\n']
    ] as const) {
      const { answers } = await exchange(Number(new URL(address).port), text)
      t.strictSame(statusesOf(answers), [400], `${address}: ${what}`)
    }
  }
})

test('no log line has a byte of a request that cannot be read', async (t) => {
  const service = await startService(t, t.testdir(), { SESSION_STORE: 'memory:' })
  const secret = 'a cookie or a long password'
  await exchange(Number(new URL(service.url).port), `POST /login HTTP/1.1\r\nHost: localhost\r\nCookie: ${secret}\r\nContent-Length: x\r\n\r\npassword=${secret}`)
  await until('it is logged', () => service.output().includes('the client sent no valid request'))
  const bytes = Buffer.from(secret)
  for (const form of [secret, bytes.join(), bytes.toString('hex')]) t.notMatch(service.output(), form)
  t.match(service.output(), 'HPE_INVALID_CONTENT_LENGTH', 'but the kind of the error')
})

for (const [what, head, status, code] of [
  ['an unknown Expect', `POST /login HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\nContent-Length: ${FORM.length}\r\n\r\n${FORM}`, 417, 'HATCHECK_EXPECTATION'],
  ['CONNECT', 'CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n', 405, 'HATCHECK_METHOD_NOT_ALLOWED']
] as const) {
  test(`${what} is answered in its turn like an invalid request, and the connection ends`, async (t) => {
    const [[invalid], [refusal], answers] = await Promise.all([answersTo('no request\r\n\r\n'), answersTo(head), answersTo(`${LOGIN}${ALIVE}${head}`)])
    t.match(refusal, { status, body: `"code":"${code}"` })
    const sameHeaders = (answer?: RawAnswer): string => answer?.head.toLowerCase().replace(/^.*|\r\n(?:date|content-length|allow):.*/g, '') ?? ''
    t.equal(sameHeaders(refusal), sameHeaders(invalid))
    if (status === 405) t.match(refusal?.head, /\r\nallow: *\r\n/)
    t.strictSame(statusesOf(answers), [303, 200, status])
    const connections = Array.from({ length: 20 }, () => openSocket(url))
    for (const socket of connections) {
      socket.write(head)
      socket.resetAndDestroy()
    }
    t.strictSame(statusesOf(await answersTo(head)), [status], 'and clients that go away harm nothing')
  })
}

test('a request that was answered before its body turned out invalid gets no second answer', async (t) => {
  const answers = await answersTo(`POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcdefgh\r\n0\r\n\r\n${ALIVE}`)
  t.equal(answers.length, 1)
})

test('the connection ends after an upgrade request, since Node drops what follows it', async (t) => {
  const answers = await answersTo(`GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n${ALIVE}`)
  t.equal(answers[0]?.status, 200)
  t.match(answers[0]?.head, /connection: close/i)
})
