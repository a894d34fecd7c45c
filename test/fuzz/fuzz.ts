import { setTimeout as pause } from 'node:timers/promises'
import { Client } from '../clients/client.js'
import type { RawAnswer } from '../clients/raw-client.js'
import { needs, testKey } from '../helper.js'
import { Random } from '../inputs/random.js'
import type { Lifetime } from '../processes/scope.js'
import { serve, type Served } from '../processes/served.js'
import { startNginx } from '../programs/nginx.js'
import { converse, type Script } from './conversation.js'
import { cut, odd, plain, wild, type Grammar, type Production, type Visitor } from './grammar.js'

export interface FuzzOptions {
  requests: number
  seed: number
  /** The only connection to run, as named in a report. */
  connection?: number
  onProgress?: (requests: number) => void
}

export interface FuzzReport {
  requests: number
  connections: number
  /** Requests by the route that they took to the service. */
  direct: number
  throughNginx: number
  /** Answers by status. */
  statuses: Record<number, number>
  /** Requests after one that ended the connection. */
  unanswered: number
  seconds: number
  /** Unexpected results; only the first few are kept. */
  faults: string[]
}

const AT_ONCE = 40
const MOST_FAULTS = 5
const VISITORS = 16
/** The longest pipeline. */
const MOST_REQUESTS = 40
const ALIVE_EVERY_MS = 1_000
const ALIVE_MS = 5_000
const PASSWORD = 'not on any list of passwords'
/** Answers of nginx itself: a transfer coding (501) or a version (505) that it does not implement. */
const ASKED_OF_NGINX = [501, 505]

/**
 * Sends requests from a grammar of HTTP/1.1 over raw sockets, to the compiled service and to an nginx in front of it.
 *
 * A connection is a pipeline of well-formed requests, each with a mark that its answer must show, and usually one
 * malformed request among them or at its end. The seed and the number of a connection alone determine what it sends.
 */
export async function fuzz (t: Lifetime, { requests, seed, connection, onProgress }: FuzzOptions): Promise<FuzzReport> {
  const begun = performance.now()
  const report: FuzzReport = { requests: 0, connections: 0, direct: 0, throughNginx: 0, statuses: {}, unanswered: 0, seconds: 0, faults: [] }
  const { faults } = report
  const service = await serve(t, {
    SESSION_STORE: 'memory:', SECRET_KEY: testKey, SIGNUP: 'open', TRUST_PROXY: 'loopback', SESSION_COOKIE_SECURE: 'false', LOG_LEVEL: 'error'
  })
  t.teardown(() => service.stop())
  const ports = [service.port, ...needs('nginx').skip === false ? [await proxy(t, service)] : []]
  const visitors = await Promise.all(Array.from({ length: VISITORS }, (_, index) => admit(service.url, `visitor-${index}`)))

  let next = connection ?? 0
  const isOver = (): boolean => faults.length >= MOST_FAULTS || (connection === undefined ? report.requests >= requests : next > connection)
  const talkers = Array.from({ length: connection === undefined ? AT_ONCE : 1 }, async () => {
    while (!isOver()) await talk(next++)
  })
  const over = new AbortController()
  const watching = watch(over.signal)
  await Promise.all(talkers)
  over.abort()
  await watching
  faults.push(...service.errors.map((line) => `the log has: ${line}`).slice(0, MOST_FAULTS))
  if (service.ended() === null) await alive()
  report.seconds = (performance.now() - begun) / 1_000
  return report

  async function talk (number: number): Promise<void> {
    const random = new Random(Math.imul(seed ^ number, 0x9e37_79b1))
    // nginx forwards requests of several clients over one connection.
    const isProxied = ports.length > 1 && random.next() < 0.5
    const script = scriptOf(random, { visitors, isProxied, mark: marks(number) })
    const { answers, unanswered, fault } = await converse(ports[isProxied ? 1 : 0] as number, `127.0.0.${2 + number % 200}`, script)
    const before = report.requests
    report.requests += script.productions.length
    report[isProxied ? 'throughNginx' : 'direct'] += script.productions.length
    report.connections++
    report.unanswered += unanswered
    for (const { status } of answers) report.statuses[status] = (report.statuses[status] ?? 0) + 1
    const flaw = fault ?? strangerIn(answers, script, number, isProxied)
    if (flaw !== null && faults.length < MOST_FAULTS) faults.push(`connection ${number}${isProxied ? ' through nginx' : ''}: ${flaw}\n${told(script)}`)
    if (Math.floor(before / 100_000) < Math.floor(report.requests / 100_000)) onProgress?.(report.requests)
  }

  /** Texts that no answer on this connection may contain: a 5xx, and marks of other connections. */
  function strangerIn (answers: readonly RawAnswer[], { productions }: Script, number: number, isProxied: boolean): string | null {
    let sent: string | undefined
    for (const { status, head, body } of answers) {
      if (status >= 500 && !(isProxied && ASKED_OF_NGINX.includes(status))) return `${status}: ${head}\n\n${body.slice(0, 500)}`
      const answer = head + body
      for (const [mark, owner] of answer.matchAll(/mark-(\d+)-\d+-/g)) {
        sent ??= productions.map(({ text }) => text).join('')
        if (Number(owner) !== number && !sent.includes(mark)) return `the answer to ${mark} of another connection: ${head}`
      }
      for (const [name] of answer.matchAll(/visitor-\d+/g)) {
        sent ??= productions.map(({ text }) => text).join('')
        const visitor = visitors.find((visitor) => visitor.name === name)
        if (!sent.includes(name) && (visitor === undefined || !sent.includes(visitor.ticket))) return `the name of ${name}, whose cookie was not sent: ${head}`
      }
    }
    return null
  }

  async function watch (signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await alive()
      await pause(ALIVE_EVERY_MS, undefined, { signal }).catch(() => {})
    }
  }

  async function alive (): Promise<void> {
    try {
      const { status } = await fetch(`${service.url}/healthz`, { signal: AbortSignal.timeout(ALIVE_MS) })
      if (status !== 200) faults.push(`/healthz: ${status}`)
    } catch (error) {
      faults.push(service.ended() === null ? `/healthz: ${String(error)}` : `the service ended with ${service.ended()}:\n${service.errors.join('\n')}`)
    }
  }
}

function marks (connection: number): () => string {
  let count = 0
  return () => `mark-${connection}-${count++}-`
}

/** Some well-formed requests, then perhaps a malformed one, and more requests if a server can still find them after it. */
function scriptOf (random: Random, grammar: Grammar): Script {
  const productions = several(random, grammar)
  if (productions.at(-1)?.isLast !== true) {
    const chance = random.next()
    if (chance < 0.15) productions.push(wild(random, grammar))
    else if (chance < 0.2) productions.push(cut(random, grammar))
    else if (chance < 0.8) {
      const one = odd(random, grammar)
      productions.push(one)
      if (one.reading === 'odd' || one.reading === 'refused') productions.push(...several(random, grammar))
    }
  }
  const bytes = Buffer.from(productions.map(({ text }) => text).join(''), 'latin1')
  return { productions, pieces: split(random, bytes), isPatient: random.next() < 0.002 }
}

function several (random: Random, grammar: Grammar): Production[] {
  const list: Production[] = []
  for (let count = 1 + random.integer(random.of([2, 10, MOST_REQUESTS])); count > 0 && list.at(-1)?.isLast !== true; count--) list.push(plain(random, grammar))
  return list
}

/** All at once, in a few pieces, or byte by byte. */
function split (random: Random, bytes: Buffer): Buffer[] {
  const chance = random.next()
  if (chance < 0.6) return [bytes]
  if (chance < 0.61 && bytes.length < 2_000) return Array.from(bytes, (byte) => Buffer.from([byte]))
  const ends = Array.from({ length: 1 + random.integer(5) }, () => random.integer(bytes.length)).sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)).filter(({ length }) => length > 0)
}

async function admit (url: string, name: string): Promise<Visitor> {
  const client = new Client(url)
  const login = await client.login(name, PASSWORD)
  const ticket = client.cookies.get('hatcheck')
  if (ticket === undefined) throw new Error(`${name} cannot log in: ${login.statusCode}`)
  const { statusCode } = await client.put('/session/whose', name)
  if (statusCode !== 201) throw new Error(`${name} cannot keep a value: ${statusCode}`)
  return { name, ticket }
}

/**
 * Short limits, and few connections to the service, so that clients share them. Buffers large enough for the longest return
 * address, as in the example.
 */
async function proxy (t: Lifetime, { port }: Served): Promise<number> {
  const url = await startNginx(t, {
    http: `client_header_timeout 5s; client_body_timeout 5s; keepalive_timeout 10s; send_timeout 5s; lingering_timeout 1s; lingering_time 2s;
upstream hatcheck { server 127.0.0.1:${port}; keepalive 8; }`,
    // nginx is meant to refuse some of these requests: a line for each would hide the report.
    server: `error_log stderr crit;
location / {
proxy_pass http://hatcheck;
proxy_http_version 1.1;
proxy_buffer_size 32k;
proxy_buffers 4 32k;
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
}`
  })
  return Number(new URL(url).port)
}

function told ({ productions, pieces, isPatient }: Script): string {
  return [
    `${productions.length} requests in ${pieces.length} pieces${isPatient ? ', with patience' : ''}:`,
    ...productions.map(({ kind, reading, text }, index) => `${index}: ${kind} (${reading}) ${JSON.stringify(text.length > 600 ? `${text.slice(0, 400)} … ${text.slice(-200)}` : text)}`)
  ].join('\n')
}

/** The report as a few readable lines. */
export function describe ({ requests, connections, direct, throughNginx, statuses, unanswered, seconds, faults }: FuzzReport): string {
  return [
    `${requests} requests over ${connections} connections in ${seconds.toFixed(0)} s: ${direct} to the service, ${throughNginx} through nginx`,
    `answers: ${Object.entries(statuses).map(([status, count]) => `${status} × ${count}`).join(', ')}`,
    `after one that ended the connection: ${unanswered}`,
    `faults: ${faults.length}`
  ].join('\n')
}
