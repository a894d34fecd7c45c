import { isTime } from '../../common/is-time.js'
import type { RedisTarget } from '../../config/redis-url.js'
import { decodeAccount } from './accounts.js'
import { decodeSession, isTombstone } from './session-codec.js'
import { decodeCounter } from './attempts.js'
import { boundedCalls } from '../common/bounded-calls.js'
import { REMEDIES, examineAccount, userText, type Counts, type Examination, type HandleOf, type Tell } from '../common/findings.js'
import { assertKnownFormats, isNoteOfFormats } from '../common/formats.js'
import type { StorageLog } from '../common/storage.js'
import { isStoreKey } from '../common/store-key.js'
import { connectRedis } from './client.js'
import { WRONG_TYPE, isMissing, readHash, wrongType, type StoredHash } from './hash.js'
import { FORMATS_KEY, REALMS_KEY, redisKey } from './keys.js'
import { isSoundBarrier, isSoundEnd } from './revocations.js'
import { scanKeys } from './scan.js'
import { withSessionScripts } from './scripts.js'
import { RedisUserIndex } from './user-index.js'

/** The deadline of a call, in ms. No request waits for it. */
const DEADLINE_MS = 10_000

/** Examines the value of one key. It is called with the key of hatcheck, and with its name in Redis. */
type Look = (key: string, name: string) => Promise<void>

/** Examines a store in Redis record by record. While others write, it may report a state that lasts for a moment only. @see examine */
export async function examineRedis (target: RedisTarget, handleOf: HandleOf, log: StorageLog, tell: Tell): Promise<Examination> {
  const counts: Counts = { sessions: 0, tombstones: 0, accounts: 0, counters: 0 }
  const { client, close } = await connectRedis(target, log)
  const call = boundedCalls({ deadlineMs: DEADLINE_MS })
  const hash = (name: string): Promise<StoredHash> => call('read', () => readHash(client, name))

  const lookAtRevocation = (isSound: (stored: StoredHash) => boolean, damage: 'end' | 'endOfAll'): Look => async (_, name) => {
    const stored = await hash(name)
    if (!isMissing(stored) && !isSound(stored)) tell(`The record of ended sessions under ${JSON.stringify(name)} is damaged. ${REMEDIES[damage]}`)
  }

  const index = new RedisUserIndex(withSessionScripts(client), call, Date.now, 0)
  /** An entry without a session is no fault: it stays for a while after the end of each session. */
  const examineIndex = async (user: string): Promise<void> => {
    for await (const entries of index.pages(user)) {
      // One at a time, since 100 indexes are examined at once: a page of each would be as many calls as may wait for an answer.
      for (const { key, addedAt } of entries) {
        if (!isStoreKey(key) || !isTime(Number(addedAt))) {
          tell(`An entry of the index by user of ${userText(user)} is damaged. ${REMEDIES.entry}`)
          continue
        }
        const owner = decodeSession(await hash(redisKey.session(key)))?.user ?? user
        if (owner !== user) tell(`An entry of the index by user leads from ${userText(user)} to ${handleOf(key)}, which is not a session of that user. ${REMEDIES.entry}`)
      }
    }
  }

  const looks: Array<[pattern: string, look: Look]> = [
    [redisKey.session('*'), async (key, name) => {
      const stored = await hash(name)
      // It may have gone since it was found.
      if (isMissing(stored)) return
      counts[isTombstone(stored) ? 'tombstones' : 'sessions']++
      if (isTombstone(stored)) return
      const record = decodeSession(stored)
      if (record === null) {
        tell(`The session ${handleOf(key)} is damaged. ${REMEDIES.session}`)
        return
      }
      const { user } = record
      if (user !== null && await call('read', () => client.zscore(redisKey.index(user), key).catch(wrongType)) === null) {
        tell(`The session ${handleOf(key)} of ${userText(user)} is not in the index by user. The end of all sessions of the user does not reach it. Have the user log out there, or replace SECRET_KEY, which ends every session.`)
      }
    }],
    [redisKey.account('*'), async (key, name) => {
      const account = decodeAccount(key, await hash(name))
      if (account === null) return
      counts.accounts++
      examineAccount(key, account, tell)
    }],
    [redisKey.counter('*'), async (key, name) => {
      counts.counters++
      if (decodeCounter(await hash(name)) === 'damaged') tell(`The counter of failed logins ${key} is damaged. It counts as none, and the next failed login replaces it.`)
    }],
    [redisKey.index('*'), async (user, name) => {
      const kind = await call('read', () => client.type(name))
      if (kind === 'zset') await examineIndex(user)
      else if (kind !== 'none') tell(`The index by user of ${userText(user)} is damaged: the user can neither log in nor see sessions. Delete the key ${JSON.stringify(name)} of Redis, and replace SECRET_KEY, which ends every session.`)
    }],
    [redisKey.end('*'), lookAtRevocation(isSoundEnd, 'end')],
    [redisKey.endOfAll('*'), lookAtRevocation(isSoundBarrier, 'endOfAll')]
  ]
  try {
    const noted = await hash(FORMATS_KEY)
    if (noted === WRONG_TYPE || !isNoteOfFormats(noted)) tell('The note of formats is damaged. The next start replaces it.')
    else assertKnownFormats(noted, target.description)
    if (await hash(REALMS_KEY) === WRONG_TYPE) tell(`The note of realms is damaged. ${REMEDIES.realms}`)
    for (const [pattern, look] of looks) {
      for await (const names of scanKeys(client, call, 'read', pattern)) {
        await Promise.all(names.map((name) => look(name.slice(pattern.length - 1), name)))
      }
    }
  } finally {
    await close()
  }
  return { description: target.description, counts }
}
