import type { FastifyInstance } from 'fastify'
import crypto from 'node:crypto'
import { test, type Test } from 'tap'
import { trustedProxies } from '../../plugins/config/trusted-proxies.js'
import { Client } from '../clients/client.js'
import { build } from '../helper.js'
import { noteCalls } from '../inputs/note-calls.js'
import { OWNER, inputs, type Asked } from './attacks/inputs.js'

/**
 * The maximum cost of one request, whatever it contains: less than a millisecond of each kind of work. The work is counted
 * and not timed, so that a slow machine gives the same result. `npm run worst-case` prints the times.
 */
const MOST = {
  /** UTF-16 units that were normalized; normalization can cost more than their number. */
  normalized: 12_000,
  /** UTF-16 units whose letter case was changed. */
  cased: 60_000,
  /** UTF-16 units that patterns have examined. The largest body is 48 KB. */
  matched: 400_000,
  /** Characters that were written to JSON or read from it. */
  json: 400_000,
  /** HMACs that were made. */
  macs: 400,
  /** Keys that were derived from the secret; each costs as much as ten HMACs. Those of every purpose are derived once. */
  keys: 0,
  /** Sessions that were read from the store. */
  reads: 400,
  /** Addresses of proxies that were examined. */
  hops: 400
}

type Work = Record<keyof typeof MOST, number>

test('the worst value of every input costs a bounded amount of work', async (t) => {
  const isTrusted = trustedProxies(['127.0.0.1', '::1'])
  let hops = 0
  const trustProxy = (address: string, hop: number): boolean => {
    hops++
    return isTrusted(address, hop)
  }
  const fastify = await build(t, { mode: 'service', signup: 'open', sessionCookieSecure: false }, { logger: false, trustProxy })
  // The list of common passwords is read once.
  await new Client(fastify).login(OWNER.name, OWNER.password)
  const work = countWork(t, fastify, () => hops)
  let turn = 0
  const counted = new Set<string>()
  const clients = new Map<unknown, Client>()
  for (const input of inputs) {
    // Several inputs need the same preparation.
    const kind = input.before ?? input.as
    const client = clients.get(kind) ?? new Client(fastify)
    if (!clients.has(kind)) {
      clients.set(kind, client)
      if (input.as === 'user') await client.login(OWNER.name, OWNER.password)
      for (const asked of input.before ?? []) await ask(client, asked)
    }
    for (const [what, value] of input.worst) {
      const done = await work(() => ask(client, input.ask(value, turn++)))
      for (const [kind, amount] of Object.entries(done)) if (amount > 0) counted.add(kind)
      const tooMuch = Object.entries(MOST).filter(([kind, most]) => done[kind as keyof Work] > most)
      if (tooMuch.length > 0) t.fail(`${input.name}: ${what}`, { done })
    }
    t.pass(input.name)
  }
  t.strictSame([...counted].sort(), Object.entries(MOST).filter(([, most]) => most > 0).map(([kind]) => kind).sort(), 'work of every kind is counted')
})

test('the list of inputs covers every input of every route', async (t) => {
  const fastify = await build(t, { mode: 'service', signup: 'open' })
  await fastify.ready()
  const { paths } = JSON.parse(await fastify.hatcheck.openapi.document?.() ?? '') as { paths: Record<string, Record<string, Operation>> }
  const names = inputs.map(({ name }) => name).join('\n')
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      for (const field of fieldsOf(operation)) t.ok(names.includes(field), `${field} of ${method} ${path}`)
    }
  }
})

interface Operation {
  parameters?: Array<{ name: string }>
  requestBody?: { content: Record<string, { schema: { properties?: Record<string, unknown> } }> }
}

function fieldsOf ({ parameters = [], requestBody }: Operation): string[] {
  const inBody = Object.values(requestBody?.content ?? {}).flatMap(({ schema }) => Object.keys(schema.properties ?? {}))
  return [...parameters.map(({ name }) => name.toLowerCase()), ...inBody]
}

async function ask (client: Client, { headers = {}, ...asked }: Asked): Promise<void> {
  await client.send({ ...asked, headers: { host: 'localhost', ...headers } })
}

/** Counts the work of a request by the JavaScript functions that it calls. */
/** @param hopsSoFar how many addresses of proxies were examined */
function countWork (t: Test, fastify: FastifyInstance, hopsSoFar: () => number): (work: () => Promise<void>) => Promise<Work> {
  let done = nothing()
  noteCalls(t, fastify.hatcheck.storage.sessions, 'read', () => { done.reads++ })
  noteCalls(t, crypto, 'createHmac', () => { done.macs++ })
  noteCalls(t, crypto, 'hkdfSync', () => { done.keys++ })
  noteCalls(t, String.prototype, 'normalize', (text) => { done.normalized += String(text).length })
  noteCalls(t, String.prototype, 'toLowerCase', (text) => { done.cased += String(text).length })
  noteCalls(t, String.prototype, 'toUpperCase', (text) => { done.cased += String(text).length })
  noteCalls(t, JSON, 'parse', (_json, text) => { done.json += String(text).length })
  noteCalls(t, JSON, 'stringify', (_json, _value, text) => { done.json += String(text).length })
  // Every kind of match calls this. For a pattern that continues from its last match, only the match is counted.
  noteCalls(t, RegExp.prototype, 'exec', (self, text, match) => {
    const { global, lastIndex } = self as RegExp
    done.matched += global && match !== null ? lastIndex - (match as RegExpExecArray).index : String(text).length
  })
  return async (work) => {
    done = nothing()
    const before = hopsSoFar()
    await work()
    return { ...done, hops: hopsSoFar() - before }
  }
}

function nothing (): Work {
  return { normalized: 0, cased: 0, matched: 0, json: 0, macs: 0, keys: 0, reads: 0, hops: 0 }
}
