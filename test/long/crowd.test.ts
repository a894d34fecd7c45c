import fc from 'fast-check'
import type { FastifyRequest } from 'fastify'
import assert from 'node:assert/strict'
import { test, type Test } from 'tap'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { Client } from '../clients/client.js'
import { buildHost, keyOf } from '../helper.js'
import { Director } from '../models/director.js'
import { fastFolder } from '../stores/fast-folder.js'
import { inTwoSteps, kinds, openStore, watched } from '../stores/watched-store.js'

/** The same runs each time; another seed plays others. */
const SEED = Number(process.env['HATCHECK_SEED'] ?? 7)
const CALLS = ['read', 'create', 'patch', 'take', 'touch', 'remove', 'replace', 'ofUser', 'removeOfUser'] as const

/** A value, with the user who has set it. */
interface Value { by: string | null, text: string }
type Values = Record<string, Value>
type Action = (request: FastifyRequest, values: Values, argument: string) => unknown

/** A request of one of two browsers. */
interface Sent { browser: number, action: string, argument: string }
/** The answer: what the handler saw before it acted, or an error. */
interface Answered { user: string | null, values: Values, result?: Array<{ text: string }>, code?: string }
type Fate = 'answers' | 'fails before' | 'fails after'

const actions: Record<string, Action> = {
  set: ({ user }, values, key) => { values[key] = { by: user?.name ?? null, text: key } },
  login: (request, _values, name) => request.login(name),
  logout: (request) => request.logout(),
  rotate: ({ session }) => session.regenerate(session.keys() as never[]),
  revoke: ({ server }, _values, name) => server.sessions.revokeUser(name),
  flash: (request, _values, text) => { request.flash('info', text) },
  flashes: (request) => request.flashes(),
  look: () => {}
}
/** The actions after which a session may have ended, or have another ID. */
const ENDING = ['login', 'logout', 'rotate', 'revoke']

const user = fc.constantFrom('Harry', 'Sally')
const does = (action: string, argument: fc.Arbitrary<string>): fc.Arbitrary<Sent> => fc.record({ browser: fc.nat(1), action: fc.constant(action), argument })
const none = fc.constant('')
const sent = fc.oneof(
  { weight: 4, arbitrary: does('set', fc.constantFrom('apple', 'pear', 'plum')) },
  { weight: 3, arbitrary: does('login', user) },
  ...['logout', 'rotate', 'flash', 'flashes', 'look'].map((action) => does(action, none)),
  does('revoke', user)
)
/** The requests of a round are under way at once. */
const rounds = fc.array(fc.array(sent, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4, size: 'max' })
const fates = fc.oneof(
  fc.constant(fc.constant<Fate>('answers')),
  fc.constant(fc.oneof({ weight: 12, arbitrary: fc.constant<Fate>('answers') }, fc.constantFrom<Fate>('fails before', 'fails after')))
).chain((fate) => fc.infiniteStream(fate))

for (const kind of kinds) {
  for (const isInTwoSteps of [false, true]) {
    test(`the promises hold for two browsers that send several requests at once, while calls of ${kind} fail; a session is replaced in ${isInTwoSteps ? 'two steps' : 'one step'}`, async (t) => {
      const store = openStore(t, kind, kind === 'lmdb:' ? { folder: fastFolder(t) } : {})
      await keepsPromises(t, store, isInTwoSteps, kind === 'memory:' ? 400 : 100)
    })
  }
}

async function keepsPromises (t: Test, store: SessionStore, isInTwoSteps: boolean, runs: number): Promise<void> {
  const director = new Director()
  let nextFate = (): Fate => 'answers'
  const fastify = await buildHost(t, { sessionStore: failing(store, director, () => nextFate(), isInTwoSteps) }, { logger: false })
  fastify.post('/:action/:argument', async (request) => {
    const { action, argument } = request.params as { action: string, argument: string }
    const { client_name: _name, authenticatedAt: _time, ...values } = { ...request.session } as unknown as Values
    const seen = { user: request.user?.name ?? null, values, result: undefined as unknown }
    await director.step('handler', () => {})
    seen.result = await actions[action]?.(request, request.session as unknown as Values, argument)
    return seen
  })
  const begun: string[] = []
  const ended: string[] = []
  for (const event of ['created', 'renewed'] as const) fastify.sessions.on(event, ({ handle }) => { begun.push(handle) })
  for (const event of ['destroyed', 'revoked'] as const) fastify.sessions.on(event, ({ handle }) => { ended.push(handle) })
  fastify.sessions.on('renewed', ({ previous }) => { ended.push(previous) })
  let run = 0

  await fc.assert(fc.asyncProperty(rounds, fates, fc.scheduler(), async (rounds, fates, scheduler) => {
    run++
    const browsers = [new Client(fastify), new Client(fastify)] as const
    const shown: string[] = []
    let texts = 0
    let hasFailed = false
    for (const round of rounds) {
      const requests = Object.fromEntries(round.map(({ browser, action, argument }, i) => {
        const name = ['login', 'revoke'].includes(action) ? `${argument} ${run}` : action === 'flash' ? `${run} ${texts++}` : argument || '-'
        const client = browsers[browser as 0 | 1]
        return [i, async () => {
          const cookie = client.cookie()
          const answer = await client.send({ method: 'POST', url: `/${action}/${encodeURIComponent(name)}` })
          return { cookie, answer, after: client.cookie() }
        }]
      }))
      nextFate = () => {
        const fate = fates.next().value as Fate
        hasFailed ||= fate !== 'answers'
        return fate
      }
      const answers = await director.play(scheduler, requests)
      nextFate = () => 'answers'

      for (const [i, { action, argument }] of round.entries()) {
        const { cookie, answer, after } = answers[i] as NonNullable<typeof answers[string]>
        const isOk = answer.statusCode === 200
        assert.ok(isOk || answer.statusCode === 409 || answer.statusCode === 503, answer.body)
        if (action === 'look') assert.equal(answer.headers['set-cookie'], undefined, 'a reader gets no cookie')
        const { user, values, result, code } = answer.json() as Answered
        const isOver = action === 'logout' && (isOk || code === 'HATCHECK_LOGOUT_UNCONFIRMED')
        if (isOver && cookie !== '') assert.equal((await look(cookie)).user, null, 'nothing brings back a session that has logged out')
        if (!isOk) continue
        for (const { by } of Object.values(values)) assert.ok(by === null || by === user, `${user} sees a value of ${by}`)
        if (action === 'flashes') shown.push(...(result ?? []).map(({ text }) => text))
        if (action === 'set' && !round.some(({ action }) => ENDING.includes(action))) {
          assert.equal((await look(after)).values[argument]?.text, argument, 'an acknowledged value is stored, whatever other keys are set at once')
        }
      }
    }
    assert.equal(new Set(shown).size, shown.length, 'each message is shown once')
    assert.equal(new Set(begun).size, begun.length, 'each session begins once')
    assert.equal(new Set(ended).size, ended.length, 'each session ends once')
    for (const name of ['Harry', 'Sally'].map((name) => `${name} ${run}`)) {
      const keys = (await store.ofUser(name)).map(({ key }) => key)
      for (const browser of browsers) {
        const { user } = await look(browser.cookie())
        if (user === name) assert.ok(keys.includes(keyOf(browser.cookie())), 'the index by user has the session')
      }
      if (!hasFailed) for (const key of keys) assert.equal((await store.read(key))?.user, name, 'the index by user has nothing else')
    }
  }), { numRuns: runs, seed: SEED })
  t.pass(`${runs} runs, seed ${SEED}`)

  async function look (cookie: string): Promise<{ user: string | null, values: Values }> {
    return (await fastify.inject({ method: 'POST', url: '/look/-', headers: { cookie } })).json()
  }
}

/** The store, each call of it a step that may fail, before or after the store has done its work. */
function failing (store: SessionStore, director: Director, nextFate: () => Fate, isInTwoSteps: boolean): SessionStore {
  const failing = watched(store, () => {}, false)
  for (const name of CALLS) {
    const call = store[name].bind(store) as (...args: unknown[]) => unknown
    failing[name] = (async (...args: unknown[]) => {
      const fate = nextFate()
      return await director.step(name, async () => {
        if (fate === 'fails before') throw new Error('no store')
        const answer = await call(...args)
        if (fate === 'fails after') throw new Error('the answer is lost')
        return answer
      })
    }) as never
  }
  return isInTwoSteps ? inTwoSteps(failing) : failing
}
