import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { request, type Agent, type OutgoingHttpHeaders } from 'node:http'
import { AS_PROGRAM } from './accept.js'

/** A service that does not answer fails the test instead of blocking it. */
const ANSWER_MS = 20_000

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const JSON_BODY = { 'content-type': 'application/json' }

const SESSION_COOKIE = /^(?:__(?:Host|Secure)-)?hatcheck$/

export type Headers = OutgoingHttpHeaders

/** A request, the same for both transports. */
export interface Sending extends Pick<InjectOptions, 'method' | 'headers'> {
  /** The path, sent exactly as it is written. */
  url: string
  /** Text and bytes are sent as they are, anything else as JSON. */
  payload?: string | Buffer | object
  /** Aborts the request. */
  signal?: AbortSignal
  /** The address that the request comes from; only inject can choose it. */
  remoteAddress?: string
  /** What counts as the answer over HTTP: the whole of it (default), or its head; then the body is dropped. */
  waitFor?: 'body' | 'head'
}

/** An answer, the same for both transports. */
export type Answer = Pick<LightMyRequestResponse, 'statusCode' | 'headers' | 'body' | 'json'>

/** How a client connects to a URL. */
export interface Reach {
  /** Keeps connections. By default, each request has a connection of its own. */
  agent?: Agent
  /** Connects to this Unix socket, and not to the host of the URL. */
  socketPath?: string
  /** The longest silence of the service. */
  timeoutMs?: number
}

interface SetCookie {
  name: string
  value: string
  isRemoval: boolean
}

/**
 * Sends requests with a cookie jar: name to value, removed when it expires. The requests are injected into an application, or go
 * to a URL over node:http, with no header but Host, Connection, Content-Length and the given ones. Every status is an answer.
 *
 * Tests that need more than requests and answers do not use it: test/clients/raw-client.ts sends bytes, and Curl in test/processes/service.ts is
 * the real curl.
 */
export class Client {
  readonly cookies = new Map<string, string>()
  readonly #transport: (sending: Sending) => Promise<Answer>

  constructor (target: FastifyInstance | string, reach?: Reach) {
    this.#transport = typeof target === 'string' ? overHttp(target, reach) : overInject(target)
  }

  get cookieHeader (): string {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  /** Returns one cookie as a header has it, by default that of the session; an empty string if it is missing. */
  cookie (name = [...this.cookies.keys()].find((name) => SESSION_COOKIE.test(name)) ?? ''): string {
    const value = this.cookies.get(name)
    return value === undefined ? '' : `${name}=${value}`
  }

  /** Sends a request. Its own headers replace those of the client, the cookies included. */
  async send (sending: Sending): Promise<Answer> {
    const cookie = this.cookieHeader
    const answer = await this.#transport({ ...sending, headers: { ...cookie !== '' && { cookie }, ...sending.headers } })
    for (const { name, value, isRemoval } of cookiesSetBy(answer)) {
      if (isRemoval) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return answer
  }

  get (url: string, headers: Headers = {}): Promise<Answer> {
    return this.send({ method: 'GET', url, headers })
  }

  /** Sends a form, as a browser or curl does. */
  post (url: string, form: Record<string, string> = {}, headers: Headers = {}): Promise<Answer> {
    return this.send({ method: 'POST', url, headers: { ...FORM, ...headers }, payload: new URLSearchParams(form).toString() })
  }

  /** Stores a value as JSON. */
  put (url: string, value: unknown, headers: Headers = {}): Promise<Answer> {
    return this.send({ method: 'PUT', url, headers: { ...JSON_BODY, ...headers }, payload: JSON.stringify(value) })
  }

  login (name = 'Harry', password = '12345678'): Promise<Answer> {
    return this.post('/login', { client_name: name, password })
  }
}

/** Logs in, and returns the cookie of the new session for tests that copy it; an empty string if the login is refused. */
export async function logIn (target: FastifyInstance | string, name = 'Harry', password = '12345678', headers: Headers = {}): Promise<string> {
  const client = new Client(target)
  await client.post('/login', { client_name: name, password }, headers)
  return client.cookie()
}

/** Makes a password for a name that the rules allow, with and without demo mode. */
export function passwordOf (name: string): string {
  return `a long password of ${name}`
}

/** Returns the name of the user whose cookie it is, as the home page of a service says; null if it opens no session. */
export async function userOf (target: FastifyInstance | string, cookie: string, headers: Headers = {}): Promise<string | null> {
  const answer = await new Client(target).get('/', { ...headers, ...AS_PROGRAM, cookie })
  // An error does not say that nobody is logged in.
  if (answer.statusCode !== 200) throw new Error(`GET / was answered with ${answer.statusCode}: ${answer.body}`)
  return answer.json<{ user: { name: string } | null }>().user?.name ?? null
}

/** Counts answers by status. */
export function statusesOf (answers: ReadonlyArray<Pick<Answer, 'statusCode'>>): Record<number, number> {
  const statuses: Record<number, number> = {}
  for (const { statusCode } of answers) statuses[statusCode] = (statuses[statusCode] ?? 0) + 1
  return statuses
}

/** Lists the cookies that an answer sets or removes. */
export function cookiesSetBy ({ headers }: Pick<Answer, 'headers'>): SetCookie[] {
  const lines = headers['set-cookie']
  if (lines === undefined) return []
  return [lines].flat().map((line) => {
    const [pair = '', ...attributes] = line.split(';')
    const at = pair.indexOf('=')
    return { name: pair.slice(0, at), value: pair.slice(at + 1), isRemoval: attributes.some((attribute) => /^\s*max-age=0$/i.test(attribute)) }
  })
}

function overInject (fastify: FastifyInstance): (sending: Sending) => Promise<Answer> {
  return (sending) => fastify.inject(sending)
}

function overHttp (url: string, { agent, socketPath, timeoutMs = ANSWER_MS }: Reach = {}): (sending: Sending) => Promise<Answer> {
  const { hostname, port, pathname } = new URL(url)
  const prefix = pathname.replace(/\/$/, '')
  return ({ method = 'GET', url, headers = {}, payload, signal, waitFor = 'body', remoteAddress }) => new Promise((resolve, reject) => {
    if (remoteAddress !== undefined) throw new Error('remoteAddress is for inject; over HTTP the connection has the address')
    const isJson = typeof payload === 'object' && !Buffer.isBuffer(payload)
    // As bytes: with a text, Node would send the headers in its encoding too.
    const bytes = payload === undefined ? undefined : Buffer.isBuffer(payload) ? payload : Buffer.from(isJson ? JSON.stringify(payload) : payload)
    const sent = request({
      // Without the brackets of an IPv6 address.
      hostname: hostname.replace(/[[\]]/g, ''),
      port,
      path: prefix + url,
      method,
      headers: { ...bytes !== undefined && { 'content-length': bytes.length }, ...isJson && JSON_BODY, ...headers },
      agent: agent ?? false,
      timeout: timeoutMs,
      ...socketPath !== undefined && { socketPath },
      ...signal !== undefined && { signal }
    }, (response) => {
      const { statusCode = 0, headers } = response
      const answer = (body: string): Answer => ({ statusCode, headers, body, json: () => JSON.parse(body) })
      if (waitFor === 'head') resolve(answer(''))
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk })
      response.once('error', reject).once('end', () => { resolve(answer(body)) })
    })
    sent.once('timeout', () => { sent.destroy(new Error(`no answer within ${timeoutMs} ms`)) })
    sent.once('error', reject).end(bytes)
  })
}
