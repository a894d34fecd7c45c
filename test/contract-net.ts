import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import { hatcheckService } from '../app.js'
import { newSecret } from '../plugins/tickets/secrets.js'
import type { Answered, Contract } from './contract.js'
import { observe } from './observe.js'

/** The answers to a test that are still to be held against the document, and what was wrong with the others. */
interface Net {
  waiting: Answered[]
  flaws: Set<string>
}

const nets = new WeakMap<Test, Net>()
const exempt = new WeakSet<FastifyInstance>()
let loading: Promise<Contract> | undefined
let contract: Contract | undefined

/** The OpenAPI document of the service, made once in a process. */
export function serviceContract (): Promise<Contract> {
  loading ??= load()
  return loading
}

/** Puts the net under an application that has nothing in it yet. It fails the test if an answer of hatcheck's own routes is not what the document says. */
export function holdToContract (t: Test, fastify: FastifyInstance): void {
  const net = netUnder(t)
  fastify.addHook('onRequest', function noteAnswer (request, reply, done) {
    if (!exempt.has(fastify)) noteAnswerTo(request, reply.raw, net)
    done()
  })
}

/**
 * The answers of this application may be others: the test makes it do so on purpose.
 *
 * @param _reason why, for the reader
 */
export function answersMayDiffer (fastify: FastifyInstance, _reason: string): void {
  exempt.add(fastify)
}

function netUnder (t: Test): Net {
  const existing = nets.get(t)
  if (existing !== undefined) return existing
  const net: Net = { waiting: [], flaws: new Set() }
  nets.set(t, net)
  // What is torn down later was built earlier, so this runs when all is closed.
  t.teardown(async () => {
    if (net.waiting.length > 0) examine(net, await serviceContract())
    if (net.flaws.size > 0) throw new Error(`not as in the OpenAPI document:\n${[...net.flaws].slice(0, 5).join('\n')}`)
  })
  return net
}

function noteAnswerTo (request: FastifyRequest, raw: Parameters<typeof observe>[0], net: Net): void {
  let headers: Record<string, unknown> = {}
  let body = ''
  observe(raw, {
    head (sent) { headers = sent },
    chunk (text) { body += text },
    end () {
      // Nobody reads it.
      if (request.raw.readableAborted) return
      const { method, url, routeOptions: { schema } } = request
      const { operationId = '' } = schema as { operationId?: string } | undefined ?? {}
      // Of what has neither, the document says nothing. A file without the others is not to wait for the document.
      if (operationId === '' && !String(headers['content-type']).startsWith('application/problem+json')) return
      net.waiting.push({ method, path: url.split('?', 1)[0] ?? '', operationId, status: raw.statusCode, headers, body })
      if (contract !== undefined) examine(net, contract)
    }
  })
}

function examine (net: Net, contract: Contract): void {
  for (const answered of net.waiting.splice(0)) for (const flaw of contract.flawsOf(answered)) net.flaws.add(flaw)
}

async function load (): Promise<Contract> {
  // A busy machine gets time.
  const fastify = Fastify({ pluginTimeout: 0 })
  const secretKey = newSecret()
  await fastify.register(hatcheckService, { mode: 'demo', sessionStore: 'memory:', secretKey })
  await fastify.ready()
  // With Ajv, which most test files do without.
  const { Contract } = await import('./contract.js')
  contract = new Contract(JSON.parse(fastify.hatcheck.openapi.document?.() ?? ''))
  await fastify.close()
  return contract
}
