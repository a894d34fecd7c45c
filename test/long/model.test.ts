import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test, type Test } from 'tap'
import { fastFolder } from '../fast-folder.js'
import { needs } from '../helper.js'
import { startRedis } from '../redis.js'
import { Restartable } from '../restartable.js'
import { SessionModel, type Command } from '../session-model.js'
import { NOTHING } from '../session-routes.js'

const MINUTE = 60_000
const CLIENTS = 3
/** Low enough for the sessions of three clients to reach it. */
const PER_USER = 2

test('three clients see the sessions that the model predicts, in memory', async (t) => {
  await follows(t, 'memory:', 'one', 10_000)
})

test('three clients see the sessions that the model predicts, in LMDB, over restarts', async (t) => {
  // Several runs in parallel share the time that a commit takes.
  await Promise.all(Array.from({ length: 5 }, (_, lane) => follows(t, `lmdb:${fastFolder(t)}`, `lane ${lane}`, 2_000)))
})

test('three clients see the sessions that the model predicts, in Redis, over restarts', needs('redis-server'), async (t) => {
  const { url } = await startRedis(t)
  await Promise.all(Array.from({ length: 5 }, (_, lane) => follows(t, url, `lane ${lane}`, 200)))
})

/** @param lane names a parallel run: everything but the store is its own. */
async function follows (t: Test, url: string, lane: string, sequences: number): Promise<void> {
  const service = new Restartable(url, PER_USER)
  await service.start()
  try {
    let sequence = 0
    await fc.assert(fc.asyncProperty(commands(url !== 'memory:'), async (commands) => {
      await compare(service, commands, `${lane}, ${sequence++}`)
    }), { numRuns: sequences })
    t.pass(`${sequences} sequences`)
  } finally {
    await service.stop()
  }
}

function commands (restarts: boolean): fc.Arbitrary<Command[]> {
  const client = fc.nat(CLIENTS - 1)
  const user = fc.constantFrom('Harry', 'Sally')
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
 * the store is compared with what each client would see, and at the end each client sends a request.
 */
async function compare (service: Restartable, commands: readonly Command[], name: string): Promise<void> {
  const model = new SessionModel(CLIENTS, service.time, PER_USER)
  const jars = Array.from({ length: CLIENTS }, () => '')
  const users = ['Harry', 'Sally'].map((user) => `${user} of ${name}`)
  for (const command of commands) {
    await run(service, model, 'user' in command ? { ...command, user: `${command.user} of ${name}` } : command, jars)
    for (const [client, cookie] of jars.entries()) assert.deepEqual(await service.stored(cookie), model.see(client))
  }
  for (const user of users) assert.equal((await service.store.ofUser(user)).length, model.sessionsOf(user), 'the index')
  for (const client of jars.keys()) if (jars[client] !== '') await run(service, model, { do: 'read', client }, jars)
}

async function run (service: Restartable, model: SessionModel, command: Command, jars: string[]): Promise<void> {
  // No two logins at the same moment, so that the oldest is certain.
  if (command.do === 'login') await run(service, model, { do: 'pass', ms: 1 }, jars)
  if (command.do === 'pass') await service.pass(command.ms)
  else if (command.do === 'restart') await service.restart()
  else if (command.do === 'copy') jars[command.client] = jars[command.from] as string
  else {
    const expected = model.see(command.client)
    const former = jars[command.client] as string
    const { cookie, seen } = await service.send(urlOf(command), former)
    assert.deepEqual(seen, expected)
    jars[command.client] = cookie
    if (cookie !== former) assert.deepEqual(await service.stored(former), NOTHING, 'the old id is dead')
  }
  model.run(command)
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
