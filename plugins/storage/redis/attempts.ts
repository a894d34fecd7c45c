import type { Cluster, Redis } from 'ioredis'
import { LATEST_TIME } from '../../common/is-time.js'
import { boundedCalls, type BoundedCall, type CallLimits } from '../common/bounded-calls.js'
import { FORMATS, isKnownFormat, type Unreadable } from '../common/formats.js'
import { WRONG_TYPE, isMissing, readHash, type StoredHash } from './hash.js'
import { redisKey } from './keys.js'
import { withScripts, type Scripted } from './scripted.js'
import { FIRST_WAIT_MS, waitOf, type Counter, type Policy } from '../../store/attempt-policy.js'
import { MOST_FAILURES, isCounter, type AttemptStore } from '../../store/attempts.js'

/** Tells whether a value is not a counter, as `decodeCounter` does. */
const PRELUDE = `
local function isDamaged ()
  local kind = redis.call('TYPE', KEYS[1]).ok
  if kind ~= 'hash' then return kind ~= 'none' end
  local counter = redis.call('HMGET', KEYS[1], 'level', 'at', 'before')
  local level, at, before = tonumber(counter[1] or ''), tonumber(counter[2] or ''), tonumber(counter[3] or 0)
  if not (level and at and before) then return true end
  return not (level >= 0 and level <= ${MOST_FAILURES} and at >= 0 and at <= ${LATEST_TIME} and before >= 0 and before <= ${LATEST_TIME})
end
`

/**
 * Does `waitOf` and `counted` of attempt-policy.ts. Takes free, forgiveMs, firstMs, longestMs, now, and whether to count in any
 * case. Returns the wait in ms, or 0 if the failure is counted, or -1 if it is counted in place of a damaged counter.
 */
const COUNT = `${PRELUDE}
local wasDamaged = isDamaged()
if wasDamaged then redis.call('DEL', KEYS[1]) end
local free, forgiveMs, firstMs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local longestMs, now, anyway = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local counter = redis.call('HMGET', KEYS[1], 'level', 'at', 'format')
if (counter[3] or '1') ~= '${FORMATS.attempts}' then
  -- A counter of another format counts as none.
  redis.call('DEL', KEYS[1])
  counter = {}
end
local level, at = tonumber(counter[1] or 0), tonumber(counter[2] or now)

local over = math.ceil(level) - free
if not anyway and over > 0 and at - now <= longestMs then
  local wait = at + math.min(firstMs * 2 ^ (over - 1), longestMs) - now
  if wait > 0 then return math.ceil(wait) end
end

level = math.max(0, level - math.max(0, now - at) / forgiveMs) + 1
-- Lua itself would drop the last digits.
redis.call('HSET', KEYS[1], 'format', '${FORMATS.attempts}', 'level', string.format('%.17g', level), 'at', ARGV[5], 'before', counter[2] or ARGV[5])
redis.call('PEXPIRE', KEYS[1], math.ceil(level * forgiveMs))
return wasDamaged and -1 or 0
`

/** Does `uncounted` of attempt-policy.ts. Takes forgiveMs. */
const UNCOUNT = `${PRELUDE}
if isDamaged() then return 0 end
local counter = redis.call('HMGET', KEYS[1], 'level', 'format', 'at', 'before')
if counter[1] and (counter[2] or '1') == '${FORMATS.attempts}' then
  local level, at, before = math.max(0, tonumber(counter[1]) - 1), counter[3], counter[4] or counter[3]
  local passed = math.max(0, tonumber(at) - tonumber(before))
  if level > 0 then level = level + passed / tonumber(ARGV[1]) end
  redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level), 'at', passed > 0 and before or at)
  redis.call('HDEL', KEYS[1], 'before')
end
return 0
`

interface AttemptScripts {
  hatcheckCountAttempt (key: string, ...policy: number[]): Promise<number>
  hatcheckUncountAttempt (key: string, forgiveMs: number): Promise<0>
}

/** Counts failed logins in Redis or Valkey, beside the sessions. A counter is a hash that Redis drops when all is forgiven. */
export class RedisAttempts implements AttemptStore {
  readonly #client: Scripted<AttemptScripts>
  readonly #call: BoundedCall
  readonly #onCorrupt: (key: string) => void

  /** @param onCorrupt called for each damaged counter. It counts as no failures, and so does a counter of another format. */
  constructor (client: Redis | Cluster, limits: CallLimits = {}, onCorrupt: (key: string) => void = () => {}) {
    this.#client = withScripts<AttemptScripts>(client, { hatcheckCountAttempt: COUNT, hatcheckUncountAttempt: UNCOUNT })
    this.#call = boundedCalls(limits)
    this.#onCorrupt = onCorrupt
  }

  async waitOf (key: string, policy: Policy, now: number): Promise<number> {
    const counter = decodeCounter(await this.#call('attempts', () => readHash(this.#client, redisKey.counter(key))))
    if (counter === 'damaged') this.#onCorrupt(key)
    return typeof counter === 'object' ? waitOf(counter, policy, now) : 0
  }

  async admit (key: string, policy: Policy, now: number): Promise<number> {
    return await this.#count(key, policy, now, 0)
  }

  async count (key: string, policy: Policy, now: number): Promise<void> {
    await this.#count(key, policy, now, 1)
  }

  async uncount (key: string, { forgiveMs }: Policy): Promise<void> {
    await this.#call('attempts', () => this.#client.hatcheckUncountAttempt(redisKey.counter(key), forgiveMs))
  }

  async forget (key: string): Promise<void> {
    await this.#call('attempts', () => this.#client.del(redisKey.counter(key)))
  }

  /** Does nothing: Redis drops counters by itself. */
  sweep (): boolean {
    return false
  }

  async #count (key: string, { free, forgiveMs, firstMs = FIRST_WAIT_MS, longestMs }: Policy, now: number, anyway: 0 | 1): Promise<number> {
    const wait = await this.#call('attempts', () => this.#client.hatcheckCountAttempt(redisKey.counter(key), free, forgiveMs, firstMs, longestMs, now, anyway))
    if (wait < 0) this.#onCorrupt(key)
    return Math.max(0, wait)
  }
}

/** Decodes a counter. Returns null if it is missing, and why it cannot be read if it cannot. */
export function decodeCounter (stored: StoredHash): Counter | null | Unreadable {
  if (stored === WRONG_TYPE) return 'damaged'
  if (isMissing(stored)) return null
  const { format, level, at, before } = stored
  if (!isKnownFormat('attempts', format)) return 'of an unknown format'
  // Redis knows when it expires.
  const counter = { level: numberIn(level), at: numberIn(at), ...before !== undefined && { before: numberIn(before) }, expiresAt: 0 }
  return isCounter(counter) ? counter : 'damaged'
}

function numberIn (text: string | undefined): number {
  return text === undefined || text === '' ? NaN : Number(text)
}
