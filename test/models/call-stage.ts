import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest, type LightMyRequestResponse } from 'fastify'
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { Readable } from 'node:stream'
import type { Test } from 'tap'
import { hatcheck } from '../../app.js'
import { replaceInTwoSteps } from '../../plugins/store/replace-in-two-steps.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { createTicketSigner, type Ticket } from '../../plugins/tickets/ticket.js'
import { testKey } from '../helper.js'
import { watched, type StoreCall } from '../stores/watched-store.js'
import { CallModel, LOGIN_DATA, knownOf, type CallStep, type Known, type Step, type Taken, type ValueStep } from './call-model.js'

/** The steps of a handler, and how it answers. */
export interface Program {
  /** `send` answers with `reply.send` and continues; `hijack` writes the response itself and continues. */
  answer: 'value' | 'send' | 'hijack' | 'throw' | 'web' | 'stream'
  /** Whether the reply is hijacked before the first step, and not just before the answer. */
  hijacksFirst: boolean
  before: readonly Step[]
  /** The steps after the answer. */
  after: readonly Step[]
}

export interface Plan {
  program: Program
  /** Which of the writing calls fails. `acts`: it fails after it has done its work; `lasts`: later calls fail too. */
  fault: { at: number, acts: boolean, lasts: boolean } | null
  /** An action of another client, before or after one of the writing calls. */
  elsewhere: { at: number, what: 'logout' | 'revoke', user: string, isAfter: boolean } | null
  /** Whether the client also presents the tickets that it had before the last response. */
  keepsFormer: boolean
}

export type Visitor = 'nobody' | 'anonymous' | 'Harry' | 'two tickets' | 'dead ticket'

export interface Sequence {
  visitor: Visitor
  requests: readonly Plan[]
}

const WRITES = ['create', 'patch', 'take', 'touch', 'remove', 'replace'] as const
/** The application's answer to a visitor who is not logged in. */
const NOBODY = '{"user":null,"isSaved":false}'
const IDLE_MS = 3_600_000

let sequences = 0

/** The result of a sequence. */
interface SoFar {
  /** The sessions for which the client was given a ticket. */
  given: Set<string>
  begun: Set<string>
  dead: Set<string>
  mustLive: string | null
}

class Teapot extends Error {
  readonly code = 'TEAPOT'
  readonly statusCode = 418
}

/** A step that was left out. */
class Skipped extends Error {
  readonly code = 'SKIPPED'
}

/** Errors that a step may throw synchronously. */
const EXPECTED = new Set(['SKIPPED', 'HATCHECK_SESSION_COMMITTED'])

/** One request and everything observed about it. */
class Run {
  readonly plan: Plan
  /** The tickets that the request presents, as keys. */
  readonly presented: readonly string[]
  /** The key of the session that the request finds. */
  readonly found: string | null
  readonly taken: Taken[] = []
  readonly calls: Array<Promise<void>> = []
  /** Keys under which a session has begun or may have begun. */
  readonly begun: string[] = []
  /** The new key of each renewed session. */
  readonly continued = new Map<string, string>()
  /** Keys of sessions that must have ended. */
  readonly dead = new Set<string>()
  /** Keys of sessions that ended after the response was sent: its cookie may name them. */
  readonly deadLate = new Set<string>()
  /** Keys of sessions that another client has ended, including the keys under which they continue. */
  readonly endedElsewhere = new Set<string>()
  readonly logged: unknown[] = []
  readonly errors: unknown[] = []
  readonly flaws: string[] = []
  handler: Promise<unknown> = Promise.resolve()
  reply: FastifyReply | null = null
  /** The error that the handler threw. */
  thrown: unknown
  writes = 0
  hasFailed = false
  /** The calls that failed after they had done their work. */
  readonly acted = new Set<StoreCall>()
  /** The key of the session that is being replaced. */
  replacing: string | null = null
  hasMet = false
  /** Whether calls were pending when a hijacked response ended. */
  endedEarly = false

  constructor (plan: Plan, presented: readonly string[], found: string | null) {
    this.plan = plan
    this.presented = presented
    this.found = found
  }

  get hasLeft (): boolean {
    return this.reply !== null && (this.reply.raw.headersSent || this.reply.raw.writableEnded)
  }
}

export interface StageOptions {
  /** Whether reads of the store are synchronous. */
  sync: boolean
  /** Whether the store replaces a session in two steps, each of which can fail. */
  inTwoSteps: boolean
}

/** An application whose handlers run programs, on a store that fails on demand. */
export class Stage {
  readonly #store: SessionStore
  readonly #sync: boolean
  readonly #signer = createTicketSigner([Buffer.from(testKey)])
  readonly #elsewhere = new AsyncLocalStorage<true>()
  readonly #tickets = new Map<string, string>()
  #fastify!: FastifyInstance
  #retries: Array<() => unknown> = []
  #run: Run | null = null
  #inFlight = 0
  /** How often each situation has occurred, so that a test can check its coverage. */
  readonly tally = new Map<string, number>()
  readonly name: string

  private constructor (store: SessionStore, { sync, inTwoSteps }: StageOptions) {
    this.name = `read ${sync ? 'at once' : 'with a promise'}, replaced in ${inTwoSteps ? 'two steps' : 'one step'}`
    this.#store = store
    this.#sync = sync
  }

  static async open (t: Test, store: SessionStore, options: StageOptions): Promise<Stage> {
    const stage = new Stage(store, options)
    await stage.#open(t, options)
    return stage
  }

  async #open (t: Test, { inTwoSteps }: StageOptions): Promise<void> {
    const fastify = Fastify({ loggerInstance: this.#logger(), disableRequestLogging: true, exposeHeadRoutes: false }) as unknown as FastifyInstance
    t.teardown(() => fastify.close())
    this.#retries = await capturingIntervals(1_000, async () => {
      await fastify.register(hatcheck, { sessionStore: this.#watched(inTwoSteps), secretKey: testKey })
    })
    fastify.addHook('onError', (_request, _reply, error, done) => {
      this.#run?.errors.push(error)
      done()
    })
    fastify.post('/play', (request, reply) => {
      const run = this.#run as Run
      const playing = play(run, request, reply)
      run.handler = playing.catch(() => {})
      return playing
    })
    fastify.get('/who', async ({ user, session }) => ({ user: user?.name ?? null, isSaved: session.isSaved() }))
    fastify.post('/logout', async (request) => { await request.logout() })
    await fastify.ready()
    this.#fastify = fastify
  }

  /** Runs a sequence, and throws at the first broken promise. */
  async play ({ visitor, requests }: Sequence): Promise<void> {
    const number = sequences++
    const so: SoFar = { given: new Set(), begun: new Set(), dead: new Set(), mustLive: null }
    let jar = await this.#admit(visitor, number, so.given)
    let former: readonly string[] = []
    for (const plan of requests) {
      const presented = [...new Set([...plan.keepsFormer ? former : [], ...jar])]
      former = jar
      jar = await this.#request(named(plan, number), presented, jar, so)
    }
    for (const retry of this.#retries) await retry()
    for (const key of so.dead) assert.equal(await this.#store.read(key), null, 'a session that was ended is dead in the store')
    for (const key of so.begun) if (!so.given.has(key)) assert.equal(await this.#store.read(key), null, 'no session lives that nobody has the ticket of')
    if (so.mustLive !== null) assert.ok(await this.#store.read(so.mustLive) !== null, 'the session that the client has lives on')
  }

  async #request (plan: Plan, presented: readonly string[], jar: readonly string[], so: SoFar): Promise<readonly string[]> {
    const found = await this.#find(presented)
    const run = new Run(plan, presented, found?.key ?? null)
    this.#run = run
    const headers = presented.length === 0 ? {} : { cookie: presented.map((key) => this.#cookie(key)).join('; ') }
    const response = await this.#fastify.inject({ method: 'POST', url: '/play', headers })
    await this.#settle(run)
    this.#run = null
    this.#count(run, response)
    assert.deepEqual(run.flaws, [])
    for (const key of withContinuations(run.endedElsewhere, run.continued)) run.dead.add(key)
    for (const key of run.begun) so.begun.add(key)
    for (const key of run.dead) so.dead.add(key)
    const cookie = this.#cookieOf(response)
    const held = cookie === null ? run.found : cookie === 'cleared' ? null : cookie
    if (cookie !== null && cookie !== 'cleared') {
      so.given.add(cookie)
      await this.#assertCookie(run, cookie)
    }
    await this.#assertRefused(run)
    this.#assertNoErrorIsLost(run, response)
    this.#assertNoSuccess(run, response)
    const isHeldForSure = await this.#assertValues(run, response, found?.known ?? null, held)
    so.mustLive = isHeldForSure ? held : null
    return cookie === null ? jar : held === null ? [] : [held]
  }

  /** No cookie is sent without a session. */
  async #assertCookie (run: Run, key: string): Promise<void> {
    const isEndedByFailure = run.acted.size > 0 && run.taken.some(({ isLate, outcome }) => isLate && outcome === 'failed')
    // For a second error Fastify calls no hook, and waits for no call.
    const isUnhooked = run.errors.length > 1
    if (run.deadLate.has(key) || run.endedEarly || isEndedByFailure || isUnhooked || (run.hasMet && run.plan.program.answer === 'hijack')) return
    // A simultaneous revocation can end a login, and no response waits for that.
    if (run.plan.elsewhere?.what === 'revoke' && run.endedElsewhere.has(key)) return
    assert.ok(await this.#store.read(key) !== null, 'a cookie with a ticket has a session')
    assert.ok(!run.dead.has(key), 'and not one that was ended')
  }

  /** No ended session stays usable: a session that the store could not end is refused. */
  async #assertRefused (run: Run): Promise<void> {
    for (const key of run.dead) {
      if (!this.#tickets.has(key) || await this.#store.read(key) === null) continue
      const { body } = await this.#fastify.inject({ url: '/who', headers: { cookie: this.#cookie(key) } })
      assert.equal(body, NOBODY, 'a ticket whose session was ended is refused')
    }
  }

  /** The response or a log line reports each failed call that is not awaited. */
  #assertNoErrorIsLost ({ taken, errors, logged, plan }: Run, response: LightMyRequestResponse): void {
    const failed = taken.filter(({ step, outcome }) => step.do === 'call' && outcome === 'failed')
    const left = failed.filter(({ step }) => howOf(step) === 'leave')
    for (const { error } of left) assert.ok(errors.includes(error) || logged.includes(error), `${codeOf(error)} of a call that nobody awaits is told`)
    const answer = taken.findIndex(({ step }) => step.do === 'answer')
    if (plan.program.answer === 'hijack' || !left.some((one) => taken.indexOf(one) < answer)) return
    assert.ok(response.statusCode >= 400, 'the response fails with the call')
    const codes = failed.filter(({ error }) => errors.includes(error)).map(({ error }) => codeOf(error))
    assert.ok(codes.includes(response.json<{ code: string }>().code), 'and says why')
  }

  /** A logout that is not stored is never answered as a success, whatever the handler does with its error. */
  #assertNoSuccess ({ taken, plan }: Run, { statusCode }: LightMyRequestResponse): void {
    const answer = taken.findIndex(({ step }) => step.do === 'answer')
    const last = taken.slice(0, answer).findLast(({ step }) => step.do === 'call' && (step.call === 'logout' || step.call === 'destroy'))
    if (last?.outcome === 'failed' && plan.program.answer !== 'hijack') assert.ok(statusCode >= 400, 'an unconfirmed logout is no success')
  }

  /** The store matches the model. Returns whether the client certainly holds a live session. */
  async #assertValues (run: Run, response: LightMyRequestResponse, found: Known | null, held: string | null): Promise<boolean> {
    const { taken, acted, hasMet, thrown, errors, plan: { program: { answer } } } = run
    if (!run.hasFailed && !hasMet && taken.every(({ outcome }) => outcome === 'done')) {
      assert.equal(response.statusCode, answer === 'throw' ? 418 : 200, response.body)
    }
    // Values may be stored before a logout fails.
    const isOnlyUnconfirmed = errors.some((error) => codeOf(error) === 'HATCHECK_LOGOUT_UNCONFIRMED' && !taken.some((one) => one.error === error))
    if (isOnlyUnconfirmed && taken.some(({ step }) => howOf(step) === 'later')) return false
    // The error of a call made after the answer follows the error of the values; Fastify logs both.
    const failedLate = taken.slice(taken.findIndex(({ step }) => step.do === 'answer')).map(({ error }) => error)
    const isCommitted = answer !== 'hijack' && (response.body === 'sent' || errors.every((error) => error === thrown || failedLate.includes(error) || codeOf(error) === 'ERR_HTTP_HEADERS_SENT'))
    const isUncertain = acted.size > 0 || hasMet || taken.some(({ error }) => codeOf(error) === 'HATCHECK_NO_COOKIE')
    const model = new CallModel(found)
    for (const one of taken) {
      if (one.step.do === 'answer' && !isCommitted) continue
      const flashes = model.take(one)
      if (flashes !== undefined && one.outcome === 'done' && !isUncertain) assert.deepEqual(one.flashes, flashes, 'the flash messages')
    }
    if (acted.has('patch') || acted.has('take')) return false
    const known = held === null || run.dead.has(held) ? null : knownOf(await this.#store.read(held))
    if (!isUncertain) {
      assert.deepEqual(known, model.stored, 'the store has what was stored')
      return model.stored !== null
    }
    if (known === null) return false
    assert.ok(model.stored !== null, 'no session lives that should not')
    // A request that has read that its session is over continues without a session.
    if (taken.some(({ step }) => step.do === 'call' && step.call === 'reload')) return false
    // The values that a list began with may have ended with its session.
    const { list: _list, ...data } = known.data
    for (const [key, value] of Object.entries(data)) assert.deepEqual(value, model.stored.data[key], `the value of ${key}`)
    return false
  }

  /** The session that a request with these tickets finds. */
  async #find (keys: readonly string[]): Promise<{ key: string, known: Known | null } | null> {
    for (const key of keys) {
      const record = await this.#store.read(key)
      if (record === null) continue
      const { body } = await this.#fastify.inject({ url: '/who', headers: { cookie: this.#cookie(key) } })
      if (body !== NOBODY) return { key, known: knownOf(record) }
    }
    return null
  }

  #count ({ plan, errors, hasFailed, hasMet, acted }: Run, { statusCode }: LightMyRequestResponse): void {
    for (const what of [`${plan.program.answer} ${statusCode}`, ...errors.map(codeOf), hasFailed ? 'fault' : '', hasMet ? 'met' : '', ...[...acted].map((call) => `acted ${call}`)]) {
      this.tally.set(what, (this.tally.get(what) ?? 0) + 1)
    }
  }

  async #admit (visitor: Visitor, number: number, given: Set<string>): Promise<readonly string[]> {
    const keys: string[] = []
    const begin = async (user: string | null, fields: Record<string, string>): Promise<void> => {
      const ticket = this.#ticket()
      const now = Date.now()
      const record = { createdAt: now, seenAt: now, expiresAt: now + IDLE_MS, permanent: false, user, fields }
      assert.ok(await this.#store.create(ticket.key, record))
      keys.push(ticket.key)
      given.add(ticket.key)
    }
    const [harry, sally] = [userOf('Harry', number), userOf('Sally', number)]
    const harrys = { apple: '"0"', list: '["0"]', client_name: JSON.stringify(harry), authenticatedAt: '1' }
    switch (visitor) {
      case 'nobody': return []
      case 'anonymous': await begin(null, { apple: '"0"', list: '["0"]', 'hatcheck:flash:0': '["info","old"]' }); break
      case 'Harry': await begin(harry, { ...harrys, 'hatcheck:flash:0': '["info","old"]' }); break
      case 'two tickets':
        await begin(harry, harrys)
        await begin(sally, { pear: '"0"', client_name: JSON.stringify(sally), authenticatedAt: '1' })
        break
      case 'dead ticket': {
        const { key } = this.#ticket()
        await this.#store.remove(key)
        keys.push(key)
        given.add(key)
      }
    }
    return keys
  }

  #ticket (): Ticket {
    const ticket = this.#signer.ticketOf(this.#signer.newId())
    this.#tickets.set(ticket.key, this.#signer.sign(ticket.id))
    return ticket
  }

  #cookie (key: string): string {
    return `hatcheck=${this.#tickets.get(key)}`
  }

  /** The key of the session in the cookie of a response. */
  #cookieOf ({ headers }: LightMyRequestResponse): string | null {
    const lines = [headers['set-cookie'] ?? []].flat().filter((line) => line.startsWith('hatcheck='))
    assert.ok(lines.length <= 1, 'one cookie at most')
    const [line] = lines
    if (line === undefined) return null
    const value = line.slice('hatcheck='.length, line.indexOf(';'))
    if (value === '') return 'cleared'
    const ticket = this.#signer.verify(value)
    assert.ok(ticket !== null)
    this.#tickets.set(ticket.key, value)
    return ticket.key
  }

  /** Waits until everything that the request has begun is finished. */
  async #settle (run: Run): Promise<void> {
    let calls
    do {
      calls = run.calls.length
      await run.handler
      await Promise.all(run.calls)
      // Unhandled rejections, and the end of a response, are reported after that.
      for (let turn = 0; turn < 2 || this.#inFlight > 0; turn++) await new Promise((resolve) => { setImmediate(resolve) })
    } while (run.calls.length > calls)
  }

  #logger (): FastifyBaseLogger {
    const note = (what: unknown): void => {
      const { err } = what as { err?: unknown }
      if (err !== undefined) this.#run?.logged.push(err)
    }
    const logger = { level: 'error', info () {}, debug () {}, trace () {}, silent () {}, fatal: note, warn () {}, error: note, child: () => logger } as unknown as FastifyBaseLogger
    return logger
  }

  #watched (inTwoSteps: boolean): SessionStore {
    const store = watched(this.#store, () => {}, this.#sync)
    for (const name of WRITES) {
      const call = this.#store[name].bind(this.#store) as (...args: unknown[]) => unknown
      store[name] = ((...args: unknown[]) => this.#write(name, args, () => call(...args), inTwoSteps)) as never
    }
    if (inTwoSteps) store.replace = (...args) => replaceInTwoSteps(store, ...args)
    const { replace } = store
    store.replace = (...args) => {
      const [key, nextKey, { createdAt }] = args
      const run = this.#run
      if (run === null || this.#elsewhere.getStore() === true) return replace(...args)
      if (createdAt === undefined) run.continued.set(key, nextKey)
      run.replacing = key
      return replace(...args)
    }
    return store
  }

  #write (name: StoreCall, args: unknown[], act: () => unknown, inTwoSteps: boolean): unknown {
    const run = this.#run
    if (run === null || this.#elsewhere.getStore() === true) return act()
    if (name === 'create') run.begun.push(args[0] as string)
    if (name === 'replace') run.begun.push(args[1] as string)
    const { fault, elsewhere } = run.plan
    const at = run.writes++
    const fails = fault !== null && (at === fault.at || (fault.lasts && at > fault.at))
    const meets = elsewhere?.at === at
    const actNow = (): unknown => {
      if (!fails) return act()
      run.hasFailed = true
      // With two steps the first session may have ended by then.
      if (inTwoSteps && name === 'remove' && args[0] !== run.replacing && run.begun.includes(args[0] as string)) run.acted.add('replace')
      const error = new Error('the store is down')
      if (!fault.acts) throw error
      if (name !== 'touch') run.acted.add(name)
      const acted = act()
      if (acted instanceof Promise) return acted.then(() => { throw error })
      throw error
    }
    if (!meets && this.#sync) return this.#counted(actNow())
    return this.#counted((async () => {
      if (meets && !elsewhere.isAfter) await this.#meet(run, elsewhere)
      try {
        return await actNow()
      } finally {
        if (meets && elsewhere.isAfter) await this.#meet(run, elsewhere)
      }
    })())
  }

  #counted (result: unknown): unknown {
    if (!(result instanceof Promise)) return result
    this.#inFlight++
    const less = (): void => { this.#inFlight-- }
    result.then(less, less)
    return result
  }

  /** Ends sessions as another client. */
  async #meet (run: Run, { what, user }: Exclude<Plan['elsewhere'], null>): Promise<void> {
    run.hasMet = true
    const ended = what === 'logout' ? run.presented : (await this.#store.ofUser(user)).map(({ key }) => key)
    await this.#elsewhere.run(true, async () => {
      if (what === 'revoke') {
        await this.#fastify.sessions.revokeUser(user)
      } else {
        const cookie = run.presented.map((key) => this.#cookie(key)).join('; ')
        const { statusCode } = await this.#fastify.inject({ method: 'POST', url: '/logout', headers: cookie === '' ? {} : { cookie } })
        assert.equal(statusCode, 200)
      }
    })
    for (const key of ended) run.endedElsewhere.add(key)
    if (run.hasLeft) for (const key of withContinuations(ended, run.continued)) run.deadLate.add(key)
  }
}

/** Runs the program of a request in its handler. */
async function play (run: Run, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { answer, hijacksFirst, before, after } = run.plan.program
  run.reply = reply
  const later: Array<Promise<unknown>> = []
  const answered = (): void => { run.taken.push({ step: { do: 'answer' }, outcome: 'done', error: undefined, keys: [], flashes: [], isLate: false }) }
  if (answer === 'hijack') {
    if (hijacksFirst) reply.hijack()
    try {
      for (const step of before) await take(step, run, request, later)
    } finally {
      reply.hijack()
      run.endedEarly = run.taken.some(({ outcome }) => outcome === 'pending')
      answered()
      reply.raw.end('raw')
    }
    for (const step of after) await take(step, run, request, later)
    await Promise.all(later)
    return
  }
  try {
    for (const step of before) await take(step, run, request, later)
    if (answer !== 'send') await Promise.all(later)
    if (answer === 'throw') throw new Teapot('I am a teapot')
  } catch (error) {
    run.thrown = error
    answered()
    throw error
  }
  answered()
  switch (answer) {
    case 'web': return new Response('web')
    case 'stream': return Readable.from(['a', 'stream'])
    case 'value': return 'value'
    case 'send':
      reply.send('sent')
      for (const step of after) await take(step, run, request, later)
      await Promise.all(later)
  }
  return reply
}

async function take (step: Step, run: Run, request: FastifyRequest, later: Array<Promise<unknown>>): Promise<void> {
  if (step.do === 'pause') {
    await new Promise((resolve) => { setImmediate(resolve) })
    return
  }
  const taken: Taken = { step, outcome: 'pending', error: undefined, keys: [], flashes: [], isLate: run.hasLeft }
  run.taken.push(taken)
  if (step.do !== 'call') {
    try {
      // Until these calls have finished, the list they belong to is unknown.
      if (step.do === 'push' && run.taken.some(({ step, outcome }) => step.do === 'call' && ['login', 'regenerate', 'reload'].includes(step.call) && outcome === 'pending')) throw new Skipped()
      change(step, request)
      taken.outcome = 'done'
    } catch (error) {
      Object.assign(taken, { outcome: 'failed', error })
      if (!EXPECTED.has(codeOf(error))) run.flaws.push(String(error))
    }
    return
  }
  let call: Promise<unknown>
  try {
    call = start(step, taken, request)
  } catch (error) {
    Object.assign(taken, { outcome: 'failed', error })
    if (!EXPECTED.has(codeOf(error))) run.flaws.push(String(error))
    return
  }
  // An observing step does not count as waiting for it.
  run.calls.push(Promise.prototype.then.call(call, (answer) => {
    taken.outcome = 'done'
    if (step.call === 'flashes') taken.flashes = (answer as Array<{ text: string }>).map(({ text }) => text)
    noteDead(step, taken, run)
  }, (error: unknown) => {
    Object.assign(taken, { outcome: 'failed', error })
    noteDead(step, taken, run)
  }) as Promise<void>)
  switch (step.how) {
    case 'leave': return
    case 'later': later.push(call); return
    case 'catch': await call.catch(() => {}); break
    case 'await': await call
  }
  if (taken.outcome !== 'done' || taken.isLate || run.taken.some(({ step }) => step.do === 'answer')) return
  const name = request.user?.name ?? null
  if (step.call === 'login' && name !== step.user) run.flaws.push(`after a login as ${step.user} the user is ${name}`)
  if ((step.call === 'logout' || step.call === 'destroy') && name !== null) run.flaws.push(`after a logout the user is ${name}`)
}

function change (step: ValueStep, request: FastifyRequest): void {
  const session = request.session as unknown as Record<string, unknown>
  switch (step.do) {
    case 'set': session[step.key] = step.value; return
    case 'push':
      if (Array.isArray(session['list'])) session['list'].push(step.value)
      else session['list'] = [step.value]
      return
    case 'delete': delete session[step.key]; return
    case 'pop': request.session.pop('client_name', null); return
    case 'permanent': request.session.permanent = step.value; return
    case 'flash': request.flash('info', step.text)
  }
}

function start (step: CallStep, taken: Taken, request: FastifyRequest): Promise<unknown> {
  switch (step.call) {
    case 'login': return request.login(step.user, step.withData ? { permanent: true, data: LOGIN_DATA as never } : {})
    case 'logout': return request.logout()
    case 'destroy': return request.session.destroy()
    case 'save': return request.session.save()
    case 'reload': return request.session.reload()
    case 'flashes': return request.flashes()
    case 'regenerate':
      taken.keys = step.keys === 'none' ? [] : step.keys === 'some' ? ['apple', 'client_name'] : request.session.keys()
      return request.session.regenerate(taken.keys)
  }
}

/** The sessions that must have ended with a call. This includes logouts that could not be stored: those tickets are refused. */
function noteDead ({ call }: CallStep, { outcome }: Taken, run: Run): void {
  const dead: string[] = []
  if (call === 'logout' || call === 'destroy') dead.push(...run.presented, ...run.begun)
  else if (outcome === 'done' && (call === 'login' || call === 'regenerate')) dead.push(...run.begun.slice(0, -1), ...run.continued.keys())
  if (outcome === 'done' && call === 'login' && run.found !== null) dead.push(run.found)
  for (const key of dead) {
    run.dead.add(key)
    if (run.hasLeft) run.deadLate.add(key)
  }
}

/** These keys and those under which their sessions continue. */
function withContinuations (keys: Iterable<string>, continued: ReadonlyMap<string, string>): string[] {
  const all: string[] = []
  for (const key of keys) for (let at: string | undefined = key; at !== undefined; at = continued.get(at)) all.push(at)
  return all
}

/** The plan with names that no other sequence uses. */
function named (plan: Plan, number: number): Plan {
  const rename = (step: Step): Step => step.do === 'call' ? { ...step, user: userOf(step.user, number) } : step
  const { program, elsewhere } = plan
  return {
    ...plan,
    program: { ...program, before: program.before.map(rename), after: program.after.map(rename) },
    elsewhere: elsewhere === null ? null : { ...elsewhere, user: userOf(elsewhere.user, number) }
  }
}

function userOf (name: string, number: number): string {
  return `${name} ${number}`
}

/** Runs an action and captures the callbacks of its intervals of this length; the test then calls them itself. */
async function capturingIntervals (ms: number, action: () => Promise<void>): Promise<Array<() => unknown>> {
  const callbacks: Array<() => unknown> = []
  const { setInterval } = globalThis
  globalThis.setInterval = ((callback: () => unknown, every?: number, ...args: unknown[]) => {
    if (every !== ms) return setInterval(callback, every, ...args)
    callbacks.push(callback)
    return setInterval(() => {}, every)
  }) as never
  try {
    await action()
  } finally {
    globalThis.setInterval = setInterval
  }
  return callbacks
}

function howOf (step: Taken['step']): CallStep['how'] | null {
  return step.do === 'call' ? step.how : null
}

function codeOf (error: unknown): string {
  return String((error as { code?: unknown } | undefined)?.code ?? error)
}
