import Fastify, { type InjectOptions } from 'fastify'
import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { hatcheck } from '../app.js'
import { Memo } from '../plugins/common/memo.js'
import { ticketsIn, type TicketVerifier } from '../plugins/session/cookie/ticket-reader.js'
import { createSealedCodec } from '../plugins/storage/cookie/sealed.js'
import { createFlaskCodec } from '../plugins/storage/flask/codec.js'
import type { CookieCodec } from '../plugins/store/carried.js'
import { recordOf, START } from '../plugins/store/contract/sample-records.js'
import { createTicketSigner } from '../plugins/tickets/ticket.js'
import { testKey } from './helper.js'

// For V8 a part of a text is a reference to the whole text, which stays in memory as long as the part.

const HEADERS = 300
const HEADER_BYTES = 100_000
/** Three of the headers. What is remembered of all of them takes much less. */
const MOST_KEPT = 3 * HEADER_BYTES + 1_000_000

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Returns how much more memory is in use after the work, in bytes. Its result stays in memory until then. */
async function bytesKept (work: () => unknown): Promise<number> {
  collect()
  const before = process.memoryUsage().heapUsed
  const kept = await work()
  collect()
  const bytes = process.memoryUsage().heapUsed - before
  return kept === undefined ? NaN : bytes
}

/** A text as Node makes it of the bytes of a request. */
function header (end: string): string {
  return Buffer.from(`other=${'x'.repeat(HEADER_BYTES)}; hatcheck=${end}`, 'latin1').toString('latin1')
}

test('a Memo does not keep the text that a key is a part of', async (t) => {
  const keys = Array.from({ length: HEADERS }, (_, i) => `a key of a request, ${i}`)
  const partOf = (key: string): string => header(key).slice(-key.length)
  t.ok(await bytesKept(() => {
    const memo = new Memo<number>(HEADERS - 1)
    for (const key of keys) memo.set(partOf(key), 1)
    // These come from the older generation.
    for (const key of keys) memo.get(partOf(key))
    return memo
  }) < MOST_KEPT)
})

test('what is remembered of a session cookie keeps no header in memory', async (t) => {
  const secrets = [randomBytes(32)]
  const ids = Array.from({ length: HEADERS }, () => randomBytes(32).toString('base64url'))
  const carried = ids.map((id, i) => ({ id, record: recordOf({ fields: { n: String(i) } }), endsAt: START, epoch: 0 }))
  const ofCodec = (open: () => CookieCodec): { values: string[], verifier: () => Pick<CookieCodec, 'open' | 'isLike'> } => {
    const writer = open()
    return { values: carried.map((session) => writer.seal(session, 'hatcheck')), verifier: open }
  }
  const sealed = ofCodec(() => createSealedCodec(secrets, 'hatcheck', 4_096))
  const flask = ofCodec(() => createFlaskCodec({ secrets, lifetimeSeconds: 3_600, maxBytes: 4_096, now: () => START }))
  const signer = createTicketSigner(secrets)
  const signed = { values: ids.map((id) => signer.sign(id)), verifier: () => createTicketSigner(secrets) }
  const opened = ({ values, verifier }: typeof sealed): unknown => {
    const codec = verifier()
    const reader: TicketVerifier = { isLike: codec.isLike, verify: (value, name) => codec.open(value, name) as never }
    return [codec, values.map((value) => ticketsIn(header(value), 'hatcheck', reader, []).length)]
  }
  t.ok(await bytesKept(() => opened(sealed)) < MOST_KEPT, 'an encrypted session')
  t.ok(await bytesKept(() => opened(flask)) < MOST_KEPT, 'a session of Flask')
  t.ok(await bytesKept(() => {
    const verifier = signed.verifier()
    return [verifier, signed.values.map((value) => ticketsIn(header(value), 'hatcheck', verifier, []))]
  }) < MOST_KEPT, 'a ticket')
})

test('a session does not keep the form in which its user has logged in', async (t) => {
  const fastify = Fastify()
  t.teardown(() => fastify.close())
  await fastify.register(hatcheck, { secretKey: testKey, sessionStore: 'memory:', routes: ['login'], authenticate: (name) => ({ name }) })
  fastify.addContentTypeParser('text/plain', { parseAs: 'string' }, (_request, body, done) => { done(null, body) })
  fastify.post<{ Body: string }>('/own', async (request) => { await request.login(request.body.split('&')[0] ?? '') })
  const filler = 'x'.repeat(15_000)
  const ofPage = (name: string): InjectOptions => ({
    url: '/login', headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: `client_name=${name}&password=a-password&filler=${filler}`
  })
  const ofApplication = (name: string): InjectOptions => ({ url: '/own', headers: { 'content-type': 'text/plain' }, payload: `${name}&a-password&${filler}` })
  for (const form of [ofPage, ofApplication]) {
    const logIn = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i++) t.ok((await fastify.inject({ method: 'POST', ...form(`a user with a name ${count} ${i}`) })).statusCode < 400)
      return count
    }
    await logIn(200)
    const bytes = await bytesKept(async () => await logIn(300))
    t.ok(bytes < 300 * 7_000, `${bytes} bytes`)
  }
})
