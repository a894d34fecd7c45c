import { randomBytes } from 'node:crypto'
import { maxHeaderSize } from 'node:http'
import type { AddressInfo } from 'node:net'
import tap, { test, type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { Client } from '../clients/client.js'
import { RawClient } from '../clients/raw-client.js'
import { buildHost } from '../helper.js'
import { Random } from '../inputs/random.js'
import { openStore, watched } from '../stores/watched-store.js'

tap.setTimeout(200_000)

const OVER_TCP = 60_000
const OVER_TCP_ANY_BYTE = 10_000
const BY_INJECT = 30_000
/** Each has its own connection, with this many requests under way. */
const CONNECTIONS = 4
const BATCH = 50

const LETTERS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
const NAMES = ['hatcheck', '__Host-hatcheck']

interface Counted {
  fastify: FastifyInstance
  /** The calls of the store since the last look. */
  calls: () => number
  /** A valid ticket. */
  ticket: string
  /** Headers that reached no route. */
  uncaught: unknown[]
}

/** An application that returns the logged-in user, over a store that counts its calls. */
async function counted (t: Test): Promise<Counted> {
  let calls = 0
  const store = watched(openStore(t, 'lmdb:'), () => { calls++ })
  const fastify = await buildHost(t, { sessionStore: store }, { logger: false })
  fastify.get('/', async ({ user }) => ({ user: user?.name ?? null }))
  fastify.post('/login', async (request) => { await request.login('Harry') })
  const client = new Client(fastify)
  await client.send({ method: 'POST', url: '/login' })
  calls = 0
  const uncaught: unknown[] = []
  const note = (error: unknown): void => { uncaught.push(error) }
  process.on('uncaughtExceptionMonitor', note).on('unhandledRejection', note)
  t.teardown(() => { process.off('uncaughtExceptionMonitor', note).off('unhandledRejection', note) })
  return {
    fastify,
    calls () {
      const counted = calls
      calls = 0
      return counted
    },
    ticket: client.cookies.get('hatcheck') as string,
    uncaught
  }
}

test('no Cookie header over TCP causes an error, and none with a bad MAC reaches the store', async (t) => {
  const { fastify, calls, ticket, uncaught } = await counted(t)
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const { port } = fastify.server.address() as AddressInfo
  const seed = randomBytes(4).readUInt32LE()
  const random = new Random(seed)
  const wrong: string[] = []

  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    const client = new RawClient(port)
    for (let sent = 0; sent < OVER_TCP / CONNECTIONS && wrong.length === 0; sent += BATCH) {
      const cookies = Array.from({ length: BATCH }, () => cookie(random, ticket))
      const answers = await client.send(cookies.map((cookie) => request(cookie)))
      for (const [index, cookie] of cookies.entries()) {
        const { status, head = 'no answer', body } = answers[index] ?? {}
        if (status !== 200 || body !== '{"user":null}' || /\r\nset-cookie:/i.test(head)) wrong.push(`${JSON.stringify(cookie)} → ${head}\n${body}`)
      }
    }
    client.close()
  }))
  t.same(wrong.slice(0, 5), [], `seed ${seed}`)
  t.equal(calls(), 0, 'the store was not asked')

  // Any byte: a byte that ends the header or is invalid in one is a 400, and the connection is closed.
  const statuses = new Map<number, number>()
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    const client = new RawClient(port)
    for (let sent = 0; sent < OVER_TCP_ANY_BYTE / CONNECTIONS; sent++) {
      const bytes = Buffer.from(Array.from({ length: random.integer(80) }, () => random.integer(256)))
      const [{ status, body } = { status: 0, body: '' }] = await client.send([request(Buffer.concat([Buffer.from('hatcheck='), bytes]).toString('latin1'))])
      if (![200, 400].includes(status) || (status === 200 && body !== '{"user":null}')) wrong.push(`${bytes.toString('hex')} → ${status} ${body}`)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    client.close()
  }))
  t.same(wrong.slice(0, 5), [], `seed ${seed}`)
  t.ok((statuses.get(200) ?? 0) > OVER_TCP_ANY_BYTE / 20 && (statuses.get(400) ?? 0) > OVER_TCP_ANY_BYTE / 20, 'both kinds occurred')
  t.equal(calls(), 0)

  const client = new RawClient(port)
  const longest = 'hatcheck=x; '.repeat(maxHeaderSize / 12 - 20)
  t.match(await client.send([request(longest)]), [{ status: 200, body: '{"user":null}' }], 'as long as node allows')
  t.match(await client.send([request(`${longest}hatcheck=${ticket}`)]), [{ status: 200, body: '{"user":"Harry"}' }])
  t.match(await client.send([request('x'.repeat(maxHeaderSize))]), [{ status: 431 }], 'longer is a 431')
  t.match(await client.send([request(`hatcheck=${ticket}`)]), [{ status: 200, body: '{"user":"Harry"}' }], 'and the right ticket still counts')
  t.match(await client.send(Array.from({ length: 3 }, () => request(`hatcheck=forged; hatcheck=${ticket}`))), Array.from({ length: 3 }, () => ({ body: '{"user":"Harry"}' })))
  client.close()
  t.same(uncaught, [])
})

test('no injected Cookie header causes an error, and none with a bad MAC reaches the store', async (t) => {
  const { fastify, calls, ticket, uncaught } = await counted(t)
  const seed = randomBytes(4).readUInt32LE()
  const random = new Random(seed)
  const wrong: string[] = []
  for (let sent = 0; sent < BY_INJECT && wrong.length === 0; sent++) {
    const header = cookie(random, ticket)
    const { statusCode, body, headers } = await fastify.inject({ url: '/', headers: { cookie: header } })
    if (statusCode !== 200 || body !== '{"user":null}' || headers['set-cookie'] !== undefined) wrong.push(`${JSON.stringify(header)} → ${statusCode} ${body}`)
  }
  t.same(wrong.slice(0, 5), [], `seed ${seed}`)
  t.equal(calls(), 0, 'the store was not asked')
  t.equal((await fastify.inject({ url: '/', headers: { cookie: `hatcheck=${ticket}` } })).body, '{"user":"Harry"}', 'and the right ticket still counts')
  t.equal(calls(), 1)
  t.same(uncaught, [])
})

function request (cookie: string): Buffer {
  return Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`, 'latin1')
}

/** An invalid header of some kind. */
function cookie (random: Random, ticket: string): string {
  const header = random.of([noise, single, single, single, several, several, odd, odd, long])(random, ticket)
  // One of these could happen to be right.
  return header.includes(`hatcheck=${ticket}`) ? '' : header
}

/** Every byte that the parser accepts. */
function noise (random: Random): string {
  return text(random.integer(120), () => String.fromCharCode(random.of([9, 32 + random.integer(95), 128 + random.integer(128)])))
}

function single (random: Random, ticket: string): string {
  return `${random.of(NAMES)}=${value(random, ticket)}`
}

function several (random: Random, ticket: string): string {
  const separator = random.of(['; ', ';', ', ', ' ', ';;', ' ; '])
  return Array.from({ length: 2 + random.integer(6) }, () => random.of([single, single, odd, noise])(random, ticket)).join(separator)
}

/** Names and forms that have deceived other parsers. */
function odd (random: Random, ticket: string): string {
  const name = random.of(NAMES)
  return random.of([
    `=${name}=${ticket}`, `==${name}=${ticket}`, `${name}`, `${name};`, `${name}; ${ticket}`, `=${ticket}`, `${ticket}`, `${name}==${ticket}`,
    // The first bytes of Unicode spaces in UTF-8, and the space of latin-1.
    `\u00a0${name}=${ticket}`, `\u00e2\u0080\u0080${name}=${ticket}`, `\u00ef\u00bb\u00bf${name}=${ticket}`, `x\t${name}\t=\t${ticket}`,
    `"${name}=${ticket}"`, `${name}="${ticket}`, `${name}=""${ticket}""`, `$Version=1; ${name}='${ticket}'; $Path="/"`, `$Version=1,${name}=${ticket}x`, `$${name}=${ticket}`,
    `${name.toUpperCase()}=${ticket}`, `x${name}=${ticket}`, `${name}x=${ticket}`, `${name}[]=${ticket}`, `${name}.0=${ticket}`,
    `%68atcheck=${ticket}`, `${name}=${encodeURIComponent(ticket.replace('.', '/'))}`, `${name}=j:${ticket}`, `${name}=s:${ticket}`, `${name}={"id":"${ticket}"}`,
    `__proto__=${ticket}`, `constructor=${ticket}; ${name}`, `x="; ${name}x=${ticket}"`, `${name}=${ticket}\u00a0\u00e9`, `${name}=${ticket} x`
  ])
}

function long (random: Random, ticket: string): string {
  // Rarely: it takes much longer than the others.
  if (random.next() > 0.02) return odd(random, ticket)
  let header = ''
  while (header.length < 15_000) header += random.of([() => `${single(random, ticket)}; `, () => `${random.of(NAMES)}=`.repeat(50), () => ' '.repeat(500), () => ';'.repeat(500)])()
  return header.slice(0, 15_500)
}

function value (random: Random, ticket: string): string {
  const [id = '', mac = ''] = ticket.split('.')
  const at = random.integer(ticket.length)
  const other = random.of(LETTERS.filter((character) => character !== ticket[at]))
  return random.of([
    () => ticket.slice(0, at) + other + ticket.slice(at + 1),
    () => ticket.slice(0, at),
    () => ticket.slice(at + 1),
    () => ticket.slice(0, at) + other + ticket.slice(at),
    () => `${ticket.slice(0, at)}%${ticket.charCodeAt(at).toString(16)}${ticket.slice(at + 1)}`,
    () => [...id].reverse().join('') + '.' + mac,
    () => `${text(43, () => random.of(LETTERS))}.${mac}`,
    () => `${id}.${text(43, () => random.of(LETTERS))}`,
    () => `${mac}.${id}`,
    () => ticket.replace('.', random.of([':', '..', '', '=', '%2E', ' . '])),
    () => noise(random)
  ])()
}

function text (length: number, unit: () => string): string {
  let text = ''
  while (text.length < length) text += unit()
  return text
}
