import type { Cluster, Redis } from 'ioredis'
import { storeUnavailable } from '../../store/errors.js'
import type { Barrier, Revocation, RevocationStore } from '../../store/revocations.js'
import { boundedCalls, type BoundedCall, type CallLimits } from '../common/bounded-calls.js'
import { soundNextKey } from '../common/store-key.js'
import { WRONG_TYPE, isMissing, wrongType, type StoredHash } from './hash.js'
import { redisKey } from './keys.js'
import { withScripts, type Scripted } from './scripted.js'
import { isTimeText, LUA_IS_TIME } from './time-text.js'

/** Takes how long to keep it in ms, nextKey ('' is none). Returns 1, or 0 if the session has ended before. */
const END = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
-- A script that has deleted may go on to write when the memory is full.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'nextKey', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`

/**
 * Does `nextBarrier` of revocations.ts. Takes now, how long to keep the entry in ms, key to spare ('' is none). Writes a hash with the
 * members of a `Barrier`, its times as text, since Lua would write a number as 1.8e+12.
 */
const END_ALL = `${LUA_IS_TIME}
local now, keepMs, except = ARGV[1], ARGV[2], ARGV[3]
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local epoch, spared, since = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'spared', 'sparedSince'))
-- A damaged epoch is replaced: the time is higher than any epoch before it.
local before = isTime(epoch) and epoch or '0'
if tonumber(now) <= tonumber(before) then now = string.format('%.0f', tonumber(before) + 1) end
if not (epoch and except ~= '' and except == spared) then since = before end
-- As in the end of one session.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', now, 'spared', except, 'sparedSince', since)
redis.call('PEXPIRE', KEYS[1], keepMs)
return 1
`

interface RevocationScripts {
  hatcheckEnd (key: string, keepMs: number, nextKey: string): Promise<0 | 1>
  hatcheckEndAll (key: string, now: number, keepMs: number, except: string): Promise<1>
}

/**
 * Remembers in Redis which sessions have ended. What is known of a session and of its user takes one round trip. Redis drops
 * an entry by itself when its time is over.
 */
export class RedisRevocations implements RevocationStore {
  readonly sync = false
  readonly #client: Scripted<RevocationScripts>
  readonly #call: BoundedCall
  readonly #now: () => number

  /** @param client one that reads from primaries only */
  constructor (client: Redis | Cluster, { now, ...limits }: CallLimits & { now: () => number }) {
    this.#client = withScripts<RevocationScripts>(client, { hatcheckEnd: END, hatcheckEndAll: END_ALL })
    this.#call = boundedCalls(limits)
    this.#now = now
  }

  async lookUp (key: string, user: string | null): Promise<Revocation> {
    const [ended, barrier] = await this.#call('read', () => Promise.all([
      this.#client.exists(redisKey.end(key)),
      user === null ? null : this.#client.hgetall(redisKey.endOfAll(user))
    ]))
    return { hasEnded: ended === 1, barrier: barrier === null || isMissing(barrier) ? null : soundBarrierIn(barrier) }
  }

  async end (key: string, until: number, nextKey = ''): Promise<boolean> {
    const keepMs = keptMs(until, this.#now())
    return await this.#call('end', () => this.#client.hatcheckEnd(redisKey.end(key), keepMs, nextKey)) === 1
  }

  async successor (key: string): Promise<string | null> {
    return soundNextKey(await this.#call('read', () => this.#client.hget(redisKey.end(key), 'nextKey').catch(wrongType)), key)
  }

  async endAll (user: string, now: number, until: number, exceptKey = ''): Promise<void> {
    await this.#call('end', () => this.#client.hatcheckEndAll(redisKey.endOfAll(user), Math.floor(now), keptMs(until, now), exceptKey))
  }

  sweep (): number {
    return 0
  }
}

/** @throws StoreUnavailableError if the entry is damaged: nothing is known about the sessions of the user then. */
function soundBarrierIn (stored: Record<string, string>): Barrier {
  const barrier = barrierIn(stored)
  if (barrier === null) throw storeUnavailable(new Error('the revocation epoch of a user is damaged'), 'read')
  return barrier
}

/** Decodes a barrier. Returns null if it is damaged. */
function barrierIn ({ epoch, spared = '', sparedSince }: Record<string, string>): Barrier | null {
  if (!isTimeText(epoch) || !isTimeText(sparedSince)) return null
  return { epoch: Number(epoch), spared: spared === '' ? null : spared, sparedSince: Number(sparedSince) }
}

/** Tells whether the end of a session can be read. A damaged one counts as well, and tells nowhere that the session continues. */
export function isSoundEnd (stored: StoredHash): boolean {
  return stored !== WRONG_TYPE && 'nextKey' in stored
}

/** Tells whether the end of all sessions of a user can be read. */
export function isSoundBarrier (stored: StoredHash): boolean {
  return stored !== WRONG_TYPE && barrierIn(stored) !== null
}

function keptMs (until: number, now: number): number {
  return Math.max(1, Math.ceil(until - now))
}
