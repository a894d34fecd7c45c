import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { GivenOptions as HatcheckOptions } from '../../plugins/config/options.js'
import { Agent } from 'node:http'
import type { Test } from 'tap'
import { Client, cookiesSetBy, statusesOf } from '../clients/client.js'
import { buildHost } from '../helper.js'
import { loopTime } from '../time/loop-clock.js'

/** A listening application with sessions, whose routes show what they read. */
export async function listen (t: Test, options: HatcheckOptions, server: FastifyServerOptions = {}): Promise<{ fastify: FastifyInstance, url: string }> {
  const fastify = await buildHost(t, options, server)
  fastify.post('/login/:name', async (request) => { await request.login((request.params as { name: string }).name) })
  fastify.post('/logout', async (request) => { await request.logout() })
  fastify.get('/', async ({ session, user }) => ({ user: user?.name ?? null, count: session.get('count' as never) ?? 0 }))
  fastify.post('/count', async ({ session, user }) => {
    const count = ((session.get('count' as never) as number | undefined) ?? 0) + 1
    session.set('count' as never, count as never)
    return { user: user?.name ?? null, count }
  })
  fastify.get('/plain', async () => ({ user: 'nobody asked' }))
  fastify.server.maxHeadersCount = 0
  return { fastify, url: await fastify.listen({ host: '127.0.0.1', port: 0 }) }
}

export interface Seen {
  status: number
  user: string | null | undefined
  count: number | undefined
  /** The effect of the answer on the cookie. */
  cookie: 'keeps' | 'sets' | 'clears'
  retryAfter: string | null
  tookMs: number
  /** What of it is by the clock of {@link loopTime}. */
  waitedMs: number
}

/** Many visitors share connections. */
const agent = new Agent({ keepAlive: true })

/** A user with a minimal browser. */
export class Visitor {
  readonly name: string
  readonly answers: Seen[] = []
  readonly #url: string
  readonly #client: Client

  constructor (url: string, name: string) {
    this.#url = url
    this.name = name
    this.#client = new Client(url, { agent })
  }

  get cookie (): string {
    return this.#client.cookie()
  }

  /** Sends a request with the cookie of the visitor, or with another one. What answers the other one changes nothing here. */
  async send (method: 'GET' | 'POST', url: string, cookie?: string): Promise<Seen> {
    const [begun, begunByLoop] = [performance.now(), loopTime()]
    const client = cookie === undefined ? this.#client : new Client(this.#url, { agent })
    const response = await client.send({ method, url, headers: { ...cookie !== undefined && { cookie } } })
    const { statusCode, headers, body } = response
    const [set] = cookiesSetBy(response)
    const { user, count } = (statusCode === 200 && body !== '' ? response.json() : {}) as Partial<Seen>
    const answer: Seen = {
      status: statusCode,
      user,
      count,
      cookie: set === undefined ? 'keeps' : set.isRemoval ? 'clears' : 'sets',
      retryAfter: headers['retry-after'] === undefined ? null : String(headers['retry-after']),
      tookMs: performance.now() - begun,
      waitedMs: loopTime() - begunByLoop
    }
    this.answers.push(answer)
    return answer
  }

  async login (): Promise<void> {
    const { status } = await this.send('POST', `/login/${this.name}`)
    if (status !== 200) throw new Error(`the login of ${this.name} was answered with ${status}`)
    this.answers.length = 0
  }
}

export async function loggedIn (url: string, count: number): Promise<Visitor[]> {
  const visitors = Array.from({ length: count }, (_, i) => new Visitor(url, `visitor${i}`))
  await Promise.all(visitors.map((visitor) => visitor.login()))
  return visitors
}

/** Lets every visitor send requests continuously, reads and writes in turn, until the work is done. */
export async function underLoad (visitors: readonly Visitor[], work: () => Promise<void>): Promise<void> {
  const over = new AbortController()
  const loops = visitors.map(async (visitor, i) => {
    for (let n = i; !over.signal.aborted; n++) {
      await (n % 3 === 0 ? visitor.send('POST', '/count') : visitor.send('GET', '/'))
      await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
  })
  try {
    await work()
  } finally {
    over.abort()
    await Promise.all(loops)
  }
}

/** The number of answers by status. */
export function statuses (visitors: readonly Visitor[]): Record<number, number> {
  return statusesOf(visitors.flatMap(({ answers }) => answers.map(({ status }) => ({ statusCode: status }))))
}
