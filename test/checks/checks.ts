import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { describeRequest } from '../../plugins/process/log.js'
import type { Answered, Contract } from './contract.js'
import { observe } from './observe.js'
import { Secrets } from './secrets.js'
import { loadedContract, serviceContract } from './service-contract.js'

/** The number of findings that an error names. */
const NAMED = 5

const checksByTest = new WeakMap<Test, Checks>()
const mayShowSecrets = new WeakSet<FastifyInstance>()
const mayDiffer = new WeakSet<FastifyInstance>()

/**
 * Returns the checks of a test. At its end they fail the test with each request that broke a rule, and the rule: no log line and
 * no answer shows a secret, and hatcheck's answers match the OpenAPI document.
 */
export function checksOf (t: Test): Checks {
  const existing = checksByTest.get(t)
  if (existing !== undefined) return existing
  const created = new Checks()
  checksByTest.set(t, created)
  // Applications are built later and closed earlier, so this runs after all answers.
  t.teardown(() => created.assertEmpty())
  return created
}

/**
 * Allows the answers of an application to show secrets, for a test that does so on purpose. Its log must not.
 *
 * @param _reason for the reader
 */
export function answersMayShowSecrets (fastify: FastifyInstance, _reason: string): void {
  mayShowSecrets.add(fastify)
}

/**
 * Allows the answers of an application to differ from the OpenAPI document, for a test that does so on purpose.
 *
 * @param _reason for the reader
 */
export function answersMayDiffer (fastify: FastifyInstance, _reason: string): void {
  mayDiffer.add(fastify)
}

/** Collects the log lines and answers of applications, and finds those that break a rule. */
export class Checks {
  readonly secrets = new Secrets()
  readonly #flaws = new Set<string>()
  /** Answers to check once the document is loaded, so that a file without flaws need not wait for it. */
  readonly #waiting: Answered[] = []

  /** Records a log line of a process or an application. */
  logged (text: string): void {
    this.secrets.shown('log', text)
  }

  /** Records an answer. Its cookies are secrets, and the only allowed place for them. */
  answered (answer: Answered, { secrets = true, contract = true } = {}): void {
    const { method, path, status, headers: { 'set-cookie': cookies, ...headers }, body } = answer
    this.secrets.addTickets([cookies ?? ''].flat().join('\n'))
    if (secrets) this.secrets.shown(`${method} ${path}: ${status}`, `${Object.values(headers).join('\n')}\n${body}`)
    if (!contract) return
    this.#waiting.push(answer)
    const loaded = loadedContract()
    if (loaded !== undefined) this.#examine(loaded)
  }

  /** Gives an application a logger at its most verbose level; its lines are recorded and passed to the test's own logger. */
  serverOptions (server: FastifyServerOptions): FastifyServerOptions {
    if (server.loggerInstance !== undefined) return server
    const own = typeof server.logger === 'object' ? server.logger : { level: 'trace' }
    const stream = {
      write: (line: string) => {
        this.logged(line)
        own.stream?.write(line)
      }
    }
    // Requests are logged as in the service.
    const serializers = { req: describeRequest, ...own.serializers }
    return { ...server, logger: { ...own, serializers, stream } } as FastifyServerOptions
  }

  /** Watches an application before its plugins and routes are added. */
  watch (fastify: FastifyInstance): void {
    fastify.addHook('onRequest', (request, reply, done) => {
      this.secrets.addTickets(request.headers.cookie ?? '')
      this.secrets.addFields(request.query)
      this.#observe(fastify, request, reply)
      done()
    })
    fastify.addHook('preValidation', (request, _reply, done) => {
      this.secrets.addFields(request.body)
      done()
    })
  }

  /** Lists the findings so far, each with its request and rule. */
  async findings (): Promise<string[]> {
    if (this.#waiting.length > 0) this.#examine(await serviceContract())
    return [...this.secrets.findings(), ...this.#flaws]
  }

  /** Throws an error that names the first findings. */
  async assertEmpty (): Promise<void> {
    const findings = await this.findings()
    if (findings.length > 0) throw new Error(`${findings.length} broke a rule:\n${findings.slice(0, NAMED).join('\n')}`)
  }

  #observe (fastify: FastifyInstance, request: FastifyRequest, { raw }: FastifyReply): void {
    const { method, url } = request
    let headers: Record<string, unknown> = {}
    let body = ''
    let isNoted = false
    const note = (isComplete: boolean): void => {
      if (isNoted) return
      isNoted = true
      const { operationId = '' } = request.routeOptions.schema as { operationId?: string } | undefined ?? {}
      // The document does not cover an application's own answers, and no client reads an aborted one.
      const isDocumented = operationId !== '' || String(headers['content-type']).startsWith('application/problem+json')
      this.answered({ method, path: url.split('?', 1)[0] ?? '', operationId, status: raw.statusCode, headers, body }, {
        secrets: !mayShowSecrets.has(fastify),
        contract: isComplete && isDocumented && !request.raw.readableAborted && !mayDiffer.has(fastify)
      })
    }
    raw.once('close', () => { note(false) })
    observe(raw, {
      head: (sent) => { headers = sent },
      chunk: (text) => { body += text },
      end: () => { note(true) }
    })
  }

  #examine (contract: Contract): void {
    for (const answer of this.#waiting.splice(0)) for (const flaw of contract.flawsOf(answer)) this.#flaws.add(flaw)
  }
}
