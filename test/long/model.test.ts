import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test, type Test } from 'tap'
import { NOTHING } from '../apps/session-routes.js'
import { needs } from '../helper.js'
import { CookieModel } from '../models/cookie-model.js'
import { SessionModel, type Command, type Model } from '../models/session-model.js'
import { startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'
import { Restartable, inCookies, inStore } from '../stores/restartable.js'
import { MINUTE } from '../time/units.js'

const CLIENTS = 3
const USERS = ['Harry', 'Sally']
/** The commands that end the session of before. */
const RENEWS: ReadonlySet<Command['do']> = new Set(['login', 'rotate', 'logout'])
/** Low enough for the sessions of three clients to reach it. */
const PER_USER = 2

test('three clients see the sessions that the model predicts, in memory', async (t) => {
  await followsStore(t, 'memory:', 'one', 10_000)
})

test('three clients see the sessions that the model predicts, in LMDB, over restarts', async (t) => {
  // Several runs in parallel share the time that a commit takes.
  await Promise.all(Array.from({ length: 5 }, (_, lane) => followsStore(t, `lmdb:${fastFolder(t)}`, `lane ${lane}`, 2_000)))
})

test('three clients see the sessions that the model predicts, in Redis, over restarts', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  await Promise.all(Array.from({ length: 5 }, (_, lane) => followsStore(t, url, `lane ${lane}`, 200)))
})

test('three clients see the sessions that the model predicts, in their cookies, over restarts', async (t) => {
  await Promise.all(Array.from({ length: 5 }, (_, lane) => followsCookies(t, `lmdb:${fastFolder(t)}`, `lane ${lane}`, 400)))
})

/** @param lane names a parallel run: everything but the store is its own. */
async function followsStore (t: Test, url: string, lane: string, sequences: number): Promise<void> {
  await follows(t, inStore(url, PER_USER), url !== 'memory:', sequences, async (service, commands, sequence) => {
    const nameOf = (user: string): string => `${user} of ${lane}, ${sequence}`
    const model = new SessionModel(CLIENTS, service.time, PER_USER)
    await compare(service, model, ofUsers(nameOf, commands), async (former) => {
      assert.deepEqual(await service.stored(former), NOTHING, 'the old id is dead')
    })
    for (const user of USERS.map(nameOf)) assert.equal(await service.sessionsOf(user), model.sessionsOf(user), 'the index')
  })
}

async function followsCookies (t: Test, engine: string, lane: string, sequences: number): Promise<void> {
  await follows(t, inCookies(engine), true, sequences, async (service, commands, sequence) => {
    const model = new CookieModel(CLIENTS, service.time)
    await compare(service, model, ofUsers((user) => `${user} of ${lane}, ${sequence}`, commands), async (former, command) => {
      if (RENEWS.has(command.do)) assert.deepEqual(await service.stored(former), NOTHING, 'no copy of the old cookie is live')
    })
  })
}

async function follows (t: Test, place: ConstructorParameters<typeof Restartable>[0], restarts: boolean, sequences: number, check: (service: Restartable, commands: readonly Command[], sequence: number) => Promise<void>): Promise<void> {
  const service = new Restartable(place)
  await service.start()
  try {
    let sequence = 0
    await fc.assert(fc.asyncProperty(commands(restarts), async (commands) => { await check(service, commands, sequence++) }), { numRuns: sequences })
    t.pass(`${sequences} sequences`)
  } finally {
    await service.stop()
  }
}

/** Each sequence has users of its own. */
function ofUsers (nameOf: (user: string) => string, commands: readonly Command[]): Command[] {
  return commands.map((command) => 'user' in command ? { ...command, user: nameOf(command.user) } : command)
}

function commands (restarts: boolean): fc.Arbitrary<Command[]> {
  const client = fc.nat(CLIENTS - 1)
  const user = fc.constantFrom(...USERS)
  const key = fc.constantFrom('apple', 'pear')
  const value = fc.constantFrom('1', '2')
  const does = <T extends Command['do']>(name: T): fc.Arbitrary<T> => fc.constant(name)
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 20, arbitrary: fc.record({ do: does('login'), client, user }) },
    { weight: 20, arbitrary: fc.record({ do: does('write'), client, key, value }) },
    { weight: 8, arbitrary: fc.record({ do: does('delete'), client, key }) },
    { weight: 4, arbitrary: fc.record({ do: does('touch'), client }) },
    { weight: 10, arbitrary: fc.record({ do: does('rotate'), client }) },
    { weight: 10, arbitrary: fc.record({ do: does('logout'), client }) },
    { weight: 6, arbitrary: fc.record({ do: does('revoke'), client, user }) },
    { weight: 6, arbitrary: fc.record({ do: does('copy'), client, from: client }) },
    { weight: 14, arbitrary: fc.record({ do: does('pass'), ms: fc.constantFrom(1, 2 * MINUTE, 4 * MINUTE, 30 * MINUTE, 59 * MINUTE, 60 * MINUTE, 23 * 60 * MINUTE) }) },
    ...restarts ? [{ weight: 1, arbitrary: fc.record({ do: does('restart') }) }] : []
  )
  return fc.array(command, { minLength: 1, maxLength: 16, size: 'max' })
}

/**
 * Runs the commands against the application and the model. A request returns what its client saw; after each command
 * what is stored is compared with what each client would see, and at the end each client sends a request.
 *
 * @param checkFormer checks the cookie of before a command that has changed it
 */
async function compare (service: Restartable, model: Model, commands: readonly Command[], checkFormer: (former: string, command: Command) => Promise<void>): Promise<void> {
  const jars = Array.from({ length: CLIENTS }, () => '')
  for (const command of commands) {
    await run(command)
    for (const [client, cookie] of jars.entries()) assert.deepEqual(await service.stored(cookie), model.see(client))
  }
  for (const client of jars.keys()) if (jars[client] !== '') await run({ do: 'read', client })

  async function run (command: Command): Promise<void> {
    // No two logins at the same moment, so that the oldest is certain.
    if (command.do === 'login') await run({ do: 'pass', ms: 1 })
    if (command.do === 'pass') await service.pass(command.ms)
    else if (command.do === 'restart') await service.restart()
    else if (command.do === 'copy') jars[command.client] = jars[command.from] as string
    else {
      const expected = model.see(command.client)
      const former = jars[command.client] as string
      const { cookie, seen } = await service.send(urlOf(command), former)
      assert.deepEqual(seen, expected)
      jars[command.client] = cookie
      if (cookie !== former) await checkFormer(former, command)
    }
    model.run(command)
  }
}

function urlOf (command: Command): string {
  switch (command.do) {
    case 'login': return `/login/${encodeURIComponent(command.user)}`
    case 'revoke': return `/revoke/${encodeURIComponent(command.user)}`
    case 'write': return `/set/${command.key}/${command.value}`
    case 'delete': return `/delete/${command.key}`
    default: return `/${command.do}`
  }
}
