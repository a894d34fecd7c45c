import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { describeRequest } from '../plugins/process/log.js'
import { observe } from './observe.js'

/** An id and its MAC, as the cookie has them. Nothing else looks like it. */
const TICKET = /(?<![\w-])[\w-]{43}\.[\w-]{43}(?![\w-])/g
const HALF = 43
/** Shorter ones are found in anything. */
const SHORTEST = 8
/** What is also an ordinary word of a page or a log line. */
const WORDS = new Set(['password'])
/** So much is kept before a search; then the older half is searched and dropped. */
const KEPT_CHARACTERS = 4_000_000

type Place = 'log' | 'answer'

/**
 * Remembers every password, cookie, id and key that a test has used, and finds those that a log line, or an answer in
 * anything but its Set-Cookie, has shown.
 */
export class LeakNet {
  readonly #secrets = new Set<string>()
  readonly #halves = new Set<string>()
  readonly #found = new Set<string>()
  #older: Array<[Place, string]> = []
  #newer: Array<[Place, string]> = []
  #characters = 0

  /** Remembers a password or a key. */
  secret (text: unknown): void {
    if (typeof text === 'string' && text.length >= SHORTEST && !WORDS.has(text)) this.#secrets.add(text)
  }

  /** Remembers the passwords among the fields of a body or a query. */
  fields (fields: unknown): void {
    if (typeof fields !== 'object' || fields === null) return
    for (const [name, value] of Object.entries(fields)) if (/^(?:\w+_)?(?:password|pwd)$/.test(name)) [value].flat().forEach((text) => { this.secret(text) })
  }

  /** Remembers the tickets in a header, or in anything else. */
  tickets (text: string): void {
    for (const [ticket] of text.matchAll(TICKET)) for (const half of ticket.split('.')) this.#halves.add(half)
  }

  shown (place: Place, text: string): void {
    this.#newer.push([place, text])
    this.#characters += text.length
    if (this.#characters < KEPT_CHARACTERS) return
    this.#search(this.#older)
    this.#older = this.#newer
    this.#newer = []
    this.#characters = 0
  }

  /** What was found of all that was shown so far, each with what stands around it. */
  leaks (): string[] {
    this.#search([...this.#older, ...this.#newer])
    return [...this.#found]
  }

  #search (texts: ReadonlyArray<[Place, string]>): void {
    const known = [...this.#secrets].flatMap(spellings)
    const secrets = known.length === 0 ? null : new RegExp(`(?<![\\w-])(?:${known.map((text) => text.replace(/[^\w\s]/g, '\\$&')).join('|')})(?![\\w-])`)
    for (const [place, text] of texts) {
      const at = Math.max(text.search(TICKET), text.indexOf('$argon2'), text.search(secrets ?? /$^/), this.#halfIn(text))
      if (at >= 0) this.#found.add(`${place}: ${text.slice(Math.max(0, at - 200), at + 200)}`)
    }
  }

  #halfIn (text: string): number {
    if (this.#halves.size === 0) return -1
    for (const { 0: run, index } of text.matchAll(/[\w-]{43,}/g)) {
      for (let at = 0; at + HALF <= run.length; at++) if (this.#halves.has(run.slice(at, at + HALF))) return index + at
    }
    return -1
  }
}

/** A text as it is, and as it stands in JSON, in an address, in a form and in a page. */
function spellings (text: string): string[] {
  const encoded = encodeURIComponent(Buffer.from(text).toString())
  const html = text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
  return [...new Set([text, JSON.stringify(text).slice(1, -1), encoded, encoded.replaceAll('%20', '+'), html])]
}

const nets = new WeakMap<Test, LeakNet>()
const exempt = new WeakSet<FastifyInstance>()

/** The net under a test, which fails it if anything is found at its end. */
export function netUnder (t: Test): LeakNet {
  const existing = nets.get(t)
  if (existing !== undefined) return existing
  const net = new LeakNet()
  nets.set(t, net)
  // What is torn down later was built earlier, so this runs when all is closed.
  t.teardown(() => {
    const leaks = net.leaks()
    if (leaks.length > 0) throw new Error(`a secret was shown:\n${leaks.slice(0, 5).join('\n')}`)
  })
  return net
}

/**
 * The answers of this application may show secrets: the test makes it do so on purpose. Its log may not.
 *
 * @param _reason why, for the reader
 */
export function answersMayShowSecrets (fastify: FastifyInstance, _reason: string): void {
  exempt.add(fastify)
}

/** The server options with a logger, at its most talkative, whose lines go into the net, and to the test's own logger. Requests are logged as by the service. */
export function logged (net: LeakNet, server: FastifyServerOptions): FastifyServerOptions {
  if (server.loggerInstance !== undefined) return server
  const own = typeof server.logger === 'object' ? server.logger : { level: 'trace' }
  const stream = {
    write (line: string) {
      net.shown('log', line)
      own.stream?.write(line)
    }
  }
  const serializers = { req: describeRequest, ...own.serializers }
  return { ...server, logger: { ...own, serializers, stream } } as FastifyServerOptions
}

/** Puts the net under an application that has nothing in it yet. */
export function watch (net: LeakNet, fastify: FastifyInstance): void {
  fastify.addHook('onRequest', function noteRequest (request, reply, done) {
    net.tickets(request.headers.cookie ?? '')
    net.fields(request.query)
    if (!exempt.has(fastify)) {
      observe(reply.raw, {
        head ({ 'set-cookie': cookies, ...headers }) {
          net.tickets([cookies ?? ''].flat().join('\n'))
          net.shown('answer', Object.values(headers).join('\n'))
        },
        chunk (text) { net.shown('answer', text) }
      })
    }
    done()
  })
  fastify.addHook('preValidation', function noteBody (request, _reply, done) {
    net.fields(request.body)
    done()
  })
}
