import { test, type Test } from 'tap'
import type { SessionRecord } from '../plugins/session/store.js'
import { changesOf, recordOf } from '../plugins/session/store-contract.js'
import { fastFolder } from './fast-folder.js'
import { needs } from './helper.js'
import { startRedis } from './redis.js'
import { startStoreProcess, type StoreCall } from './store-process.js'

const ROUNDS = 100
/** Of each process, in a round, one after another. */
const OPERATIONS = 100

test('two processes at once on one LMDB folder lose nothing and revive nothing', async (t) => {
  await contend(t, `lmdb:${fastFolder(t)}`)
})

test('two processes at once on one Redis lose nothing and revive nothing', needs('redis-server'), async (t) => {
  await contend(t, (await startRedis(t)).url)
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
