import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { GivenOptions as HatcheckOptions } from '../plugins/config/options.js'
import type { Test } from 'tap'
import { buildHost } from './helper.js'

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

export interface Answer {
  status: number
  user: string | null | undefined
  count: number | undefined
  /** The effect of the answer on the cookie. */
  cookie: 'keeps' | 'sets' | 'clears'
  retryAfter: string | null
  tookMs: number
}

/** A user with a minimal browser. */
export class Visitor {
  readonly name: string
  readonly answers: Answer[] = []
  cookie = ''
  readonly #url: string

  constructor (url: string, name: string) {
    this.#url = url
    this.name = name
  }

  async send (method: 'GET' | 'POST', path: string, cookie = this.cookie): Promise<Answer> {
    const begun = performance.now()
    const response = await fetch(this.#url + path, { method, headers: cookie === '' ? {} : { cookie } })
    const body = await response.text()
    const [line] = response.headers.getSetCookie()
    const { user, count } = (response.ok && body !== '' ? JSON.parse(body) : {}) as Partial<Answer>
    const answer: Answer = {
      status: response.status,
      user,
      count,
      cookie: line === undefined ? 'keeps' : /Max-Age=0/.test(line) ? 'clears' : 'sets',
      retryAfter: response.headers.get('retry-after'),
      tookMs: performance.now() - begun
    }
    if (line !== undefined && cookie === this.cookie) this.cookie = answer.cookie === 'clears' ? '' : (line.split(';') as [string])[0]
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
  const counts: Record<number, number> = {}
  for (const { status } of visitors.flatMap(({ answers }) => answers)) counts[status] = (counts[status] ?? 0) + 1
  return counts
}
