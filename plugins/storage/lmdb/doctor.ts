import type { Database, DatabaseOptions, RootDatabase } from 'lmdb'
import { join } from 'node:path'
import { decodeAccount } from './accounts.js'
import { ConfigError } from '../../common/rule.js'
import { decodeSession, decodeTombstone, storedAs, type Tombstone } from './session-codec.js'
import { dueTime } from './due-time.js'
import { DATABASES } from './databases.js'
import { SessionIndex, indexName } from './session-index.js'
import type { SessionRecord } from '../../store/sessions.js'
import { decodeCounter } from './attempts.js'
import { REMEDIES, examineAccount, userText, type Counts, type Examination, type HandleOf, type Tell } from '../common/findings.js'
import { assertKnownFormats } from '../common/formats.js'
import type { Lmdb } from './driver.js'
import { MOST_DATABASES } from './environment.js'
import { LMDB_FORMATS, notedFormats } from './formats.js'
import { checkLmdbFiles } from './check.js'
import { KEY_DAMAGED, isPlainKey, keyText } from './keys.js'
import { damageOf } from './revocations.js'
import { assertOneNamespace, deadReaders } from './processes.js'

/** Examines a folder of LMDB. @see examine */
export function examineLmdb ({ open }: Lmdb, folder: string, handleOf: HandleOf, tell: Tell): Examination {
  const counts: Counts = { sessions: 0, tombstones: 0, accounts: 0, counters: 0 }
  const examination = { description: `lmdb:${folder}`, counts }
  const lock = join(folder, 'lock.mdb')
  try {
    checkLmdbFiles(folder, true)
    for (const pid of deadReaders(lock)) {
      tell(`${lock} lists process ${pid}, which was killed while it read: data.mdb grows as long as it is listed. A running service clears the list every minute, and a start does so as well.`)
    }
    const env = open({ path: folder, maxDbs: MOST_DATABASES, noSubdir: false, readOnly: true })
    try {
      assertOneNamespace(env, folder, lock, false)
      examineRecords(env, folder, counts, handleOf, tell)
    } finally {
      env.close().catch(() => {})
    }
  } catch (error) {
    // That LMDB cannot open or read the folder is a finding too.
    tell(error instanceof ConfigError ? error.message : `${folder} cannot be read: ${(error as Error).message}. Restore a backup of the folder.`)
  }
  return examination
}

/** Examines all records at one state of the store, whatever others write meanwhile. */
function examineRecords (env: RootDatabase, folder: string, counts: Counts, handleOf: HandleOf, tell: Tell): void {
  const noted = notedFormats(env)
  if (noted === null) tell(`The note of formats in ${folder} is damaged. The next start replaces it.`)
  else assertKnownFormats(noted ?? {}, folder, LMDB_FORMATS)

  examineSessions(env, counts, handleOf, tell)
  for (const { key, value } of entriesOf(env, DATABASES.accounts)) {
    counts.accounts++
    examineAccount(key, decodeAccount(key, value), tell)
  }
  for (const { key } of entriesOf(env, DATABASES.realms)) if (key === KEY_DAMAGED) tell(`A realm is damaged. ${REMEDIES.realms}`)
  for (const { key, value } of entriesOf(env, DATABASES.attempts)) {
    counts.counters++
    if (decodeCounter(value) === 'damaged') tell(`The counter of failed logins ${key} is damaged. ${REMEDIES.counter}`)
  }
  for (const { key, value } of entriesOf(env, DATABASES.revocations)) {
    const damage = damageOf(key, value)
    if (damage !== null) tell(`The record of ended sessions under "${key}" is damaged. ${REMEDIES[damage]}`)
  }
}

function examineSessions (env: RootDatabase, counts: Counts, handleOf: HandleOf, tell: Tell): void {
  const records = databaseOf<Buffer>(env, DATABASES.records)
  const tombstones = databaseOf<Buffer>(env, DATABASES.tombstones)
  const byUser = indexOf<string>(env, DATABASES.keysOfUser)
  const byExpiry = indexOf<number>(env, DATABASES.keysByExpiry)
  /** The keys of damaged records, whose entries in the indexes are unknown. */
  const damaged = new Set<unknown>()
  const sessionAt = (key: string): SessionRecord | null => records === undefined ? null : storedAs(decodeSession, records, key) ?? null
  const tombstoneAt = (key: string): Tombstone | null => tombstones === undefined ? null : storedAs(decodeTombstone, tombstones, key) ?? null

  for (const key of records?.getKeys() ?? []) {
    counts.sessions++
    const record = isPlainKey(key) ? sessionAt(key) : null
    const name = nameAt(records, key, handleOf)
    if (record === null) {
      damaged.add(key)
      tell(`The session ${name} is damaged. ${REMEDIES.session}`)
      continue
    }
    const { user } = record
    if (user !== null && byUser?.has(indexName(user), key) !== true) tell(`The session ${name} of ${userText(user)} is not in the index by user. ${REMEDIES.unindexed}`)
    if (!timesOf(record).some((time) => byExpiry?.has(time, key) === true)) tell(`The session ${name} is not in the index by expiry. It ends in time, but stays stored until it is used again.`)
  }
  for (const key of tombstones?.getKeys() ?? []) {
    counts.tombstones++
    const tombstone = isPlainKey(key) ? tombstoneAt(key) : null
    const name = nameAt(tombstones, key, handleOf)
    if (tombstone === null) {
      damaged.add(key)
      tell(`The tombstone ${name} is damaged. ${REMEDIES.tombstone}`)
    } else if (byExpiry?.has(tombstone.until, key) !== true) {
      tell(`The tombstone ${name} is not in the index by expiry. It stays stored, which does no harm.`)
    }
  }
  for (const { key: user, value: key } of byUser?.range() ?? []) {
    const owner = isPlainKey(key) ? sessionAt(key)?.user ?? null : null
    if (damaged.has(key) || (owner !== null && indexName(owner) === user)) continue
    const place = isPlainKey(user) && isPlainKey(key) && byUser?.has(user, key) === true ? `leads from ${userText(user)} to ${handleOf(key)}, which is not a session of that user` : 'is damaged'
    tell(`An entry of the index by user ${place}. ${REMEDIES.entry}`)
  }
  for (const { key: time, value: key } of byExpiry?.range() ?? []) {
    const isRight = isPlainKey(key) && (timesOf(sessionAt(key)).includes(time) || tombstoneAt(key)?.until === time)
    if (damaged.has(key) || isRight) continue
    const place = typeof time === 'number' && isPlainKey(key) && byExpiry?.has(time, key) === true ? `leads to ${handleOf(key)}, where nothing expires then` : 'is damaged'
    tell(`An entry of the index by expiry ${place}. ${REMEDIES.entry}`)
  }
}

/** Returns where the index by expiry may name a session. */
function timesOf (record: SessionRecord | null): number[] {
  return record === null ? [] : [dueTime(record), record.expiresAt]
}

function nameAt (database: Database<Buffer, string> | undefined, key: string, handleOf: HandleOf): string {
  return database !== undefined && keyText(key, database) === key ? handleOf(key) : KEY_DAMAGED
}

type NamedOptions = DatabaseOptions & { name: string }

/** Returns undefined if the database does not exist: nothing was ever written to it. */
function databaseOf<V> (env: RootDatabase, options: NamedOptions): Database<V, string> | undefined {
  return env.openDB<V, string>(options)
}

function indexOf<K extends string | number> (env: RootDatabase, place: typeof DATABASES['keysOfUser' | 'keysByExpiry']): SessionIndex<K> | undefined {
  return databaseOf(env, place) && new SessionIndex<K>(env, place)
}

function * entriesOf (env: RootDatabase, options: NamedOptions): Generator<{ key: string, value: Buffer }> {
  const database = databaseOf<Buffer>(env, options)
  for (const { key, value } of database?.getRange() ?? []) yield { key: keyText(key, database as Database<Buffer, string>), value }
}
