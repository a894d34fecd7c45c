import { test, type Test } from 'tap'
import { changesOf, recordOf, replacementOf } from '../../plugins/store/contract/index.js'
import type { Replaced, SessionRecord, StoredSession } from '../../plugins/store/sessions.js'
import { needs } from '../helper.js'
import { startStoreProcess, type StoreCall } from '../processes/store-process.js'
import { startRedis } from '../programs/redis.js'
import { fastFolder } from '../stores/fast-folder.js'

const ROUNDS = 100
/** Operations of each process in a round, one after another. */
const OPERATIONS = 100

test('two processes on one LMDB folder lose no write and revive no session', async (t) => {
  await contend(t, `lmdb:${fastFolder(t)}`)
})

test('two processes on one Redis lose no write and revive no session', needs('redis-server'), async (t) => {
  await contend(t, (await startRedis(t)).url)
})

test('if two processes replace one session on one LMDB folder, exactly one of them succeeds, and no change is lost', async (t) => {
  await contendForOne(t, `lmdb:${fastFolder(t)}`)
})

test('if two processes replace one session on one Redis, exactly one of them succeeds, and no change is lost', needs('redis-server'), async (t) => {
  await contendForOne(t, (await startRedis(t)).url)
})

/** 20,000 operations: in each round both processes write into one session, and into one that either of them ends. */
async function contend (t: Test, url: string): Promise<void> {
  const processes = [startStoreProcess(t, url), startStoreProcess(t, url)]
  const [one, other] = processes as [StoreCall, StoreCall]
  const time = Date.now()
  const record = recordOf({ createdAt: time, seenAt: time, expiresAt: time + 600_000, fields: {} })
  const lost: string[] = []
  const revived: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const [shared, ending, user] = [`shared ${round}`, `ending ${round}`, `user ${round}`]
    await one('create', shared, record)
    await other('create', ending, { ...record, user })
    const work = processes.map(async (call, process) => {
      const written: string[] = []
      const calls: Array<Promise<unknown>> = []
      const write = (key: string, field: string): Promise<unknown> => call('patch', key, changesOf({ set: { [field]: '1' }, seenAt: time, expiresAt: time + 600_000 }))
      for (let i = 0; i < OPERATIONS; i++) {
        const field = `${process} ${i}`
        if (i % 20 === 0) calls.push(call('read', shared))
        else if (i === 50) calls.push(process === 0 ? call('remove', ending) : call('removeOfUser', user))
        else if (i === 70) calls.push(call('create', ending, { ...record, user }))
        else if (i % 10 === 1) calls.push(write(ending, field))
        else if (i % 10 === 2) calls.push(call('touch', ending, time, time + 600_000))
        else {
          written.push(field)
          calls.push(write(shared, field))
        }
      }
      await Promise.all(calls)
      return written
    })
    const written = (await Promise.all(work)).flat().sort()
    for (const call of processes) {
      const { fields } = await call('read', shared) as SessionRecord
      lost.push(...written.filter((field) => !(field in fields)))
      if (await call('read', ending) !== null || (await call('ofUser', user) as unknown[]).length > 0) revived.push(ending)
    }
  }
  t.strictSame(lost, [], 'no update is lost')
  t.strictSame(revived, [], 'no session comes back')
}

/** In each round both processes write into one session and replace it, and in some rounds one ends it. */
async function contendForOne (t: Test, url: string): Promise<void> {
  const processes = [startStoreProcess(t, url), startStoreProcess(t, url)]
  const [one, other] = processes as [StoreCall, StoreCall]
  const time = Date.now()
  const times = { seenAt: time, expiresAt: time + 600_000 }
  const wrong: unknown[] = []
  const winners: Record<string, number> = {}
  for (let round = 0; round < ROUNDS; round++) {
    const [key, user] = [`replaced ${round}`, `user ${round}`]
    const nextKeys = [`next 0 ${round}`, `next 1 ${round}`] as const
    await one('create', key, recordOf({ createdAt: time, ...times, user, fields: {} }))
    const patched: string[] = []
    const patch = async (call: StoreCall, field: string): Promise<void> => {
      if (await call('patch', key, changesOf({ set: { [field]: '1' }, ...times }))) patched.push(field)
    }
    const ending = round % 4 === 1 ? 'remove' : round % 4 === 3 ? 'removeOfUser' : null
    const write = async (process: 0 | 1, call: StoreCall): Promise<[Replaced, unknown]> => {
      const before = Array.from({ length: 10 + round % 5 * process }, (_, i) => patch(call, `${process} before ${i}`))
      const ends = process === 1 && ending !== null ? call(ending, ending === 'remove' ? key : user) : null
      const replacing = call('replace', key, nextKeys[process], replacementOf({ set: { by: String(process) }, ...times }))
      const after = Array.from({ length: 10 }, (_, i) => patch(call, `${process} after ${i}`))
      await Promise.all([...before, ...after])
      return [await replacing as Replaced, await ends]
    }
    const [[first], [second, ended]] = await Promise.all([write(0, one), write(1, other)])
    const replaced = [first, second].find(({ outcome }) => outcome === 'replaced')
    const successors = [first, second].flatMap((answer, process) => answer.outcome === 'replaced' ? [{ key: nextKeys[process], record: answer.next }] : [])
    const live = await one('ofUser', user) as StoredSession[]
    const lived = ending === 'remove' && ended !== null ? ended as SessionRecord : replaced?.outcome === 'replaced' ? replaced.next : null
    const winner = successors.length > 0 ? `replace${ending === null ? '' : ` before ${ending}`}` : String(ending)
    winners[winner] = (winners[winner] ?? 0) + 1
    if (ending === 'removeOfUser') {
      if (live.length > 0 || successors.length > 1) wrong.push({ round, live, successors })
      continue
    }
    const fields = Object.keys(lived?.fields ?? {}).filter((field) => field !== 'by').sort()
    if (fields.join() !== patched.sort().join()) wrong.push({ round, fields, patched })
    if (successors.length + (ended === null || ended === undefined ? 0 : 1) !== 1) wrong.push({ round, successors, ended })
    if (JSON.stringify(sortedFields(live)) !== JSON.stringify(sortedFields(successors as StoredSession[]))) wrong.push({ round, live, successors })
    if (await other('read', key) !== null) wrong.push({ round, key })
  }
  t.comment(JSON.stringify(winners))
  t.strictSame(wrong, [])
}

/** The same text for the same sessions. */
function sortedFields (sessions: readonly StoredSession[]): unknown {
  return sessions.map(({ key, record: { fields, ...record } }) => [key, record, Object.entries(fields).sort()])
}
