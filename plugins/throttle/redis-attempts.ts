import type { Cluster, Redis } from 'ioredis'
import { boundedCalls, type BoundedCall, type CallLimits } from '../storage/bounded-calls.js'
import { FORMATS, isKnownFormat } from '../storage/formats.js'
import { FIRST_WAIT_MS, waitOf, type Policy } from './policy.js'
import type { AttemptStore } from './store.js'

/** `waitOf` and `counted` of policy.ts. free, forgiveMs, firstMs, longestMs, now, whether to count in any case: the wait in ms, or 0 if it is counted. */
const COUNT = `
local free, forgiveMs, firstMs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local longestMs, now, anyway = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local counter = redis.call('HMGET', KEYS[1], 'level', 'at', 'format')
if counter[3] and counter[3] ~= '${FORMATS.attempts}' then
  -- It counts as none.
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
-- As Lua would write it, the last digits would be gone.
redis.call('HSET', KEYS[1], 'format', '${FORMATS.attempts}', 'level', string.format('%.17g', level), 'at', ARGV[5], 'before', counter[2] or ARGV[5])
redis.call('PEXPIRE', KEYS[1], math.ceil(level * forgiveMs))
return 0
`

/** `uncounted` of policy.ts. forgiveMs. */
const UNCOUNT = `
local counter = redis.call('HMGET', KEYS[1], 'level', 'format', 'at', 'before')
if counter[1] and (counter[2] or '${FORMATS.attempts}') == '${FORMATS.attempts}' then
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

/** Failed logins in Redis or Valkey, beside the sessions: a hash a counter, which Redis drops when all is forgiven. */
export class RedisAttempts implements AttemptStore {
  readonly #client: (Redis | Cluster) & AttemptScripts
  readonly #call: BoundedCall

  constructor (client: Redis | Cluster, limits: CallLimits = {}) {
    client.defineCommand('hatcheckCountAttempt', { numberOfKeys: 1, lua: COUNT })
    client.defineCommand('hatcheckUncountAttempt', { numberOfKeys: 1, lua: UNCOUNT })
    this.#client = client as (Redis | Cluster) & AttemptScripts
    this.#call = boundedCalls(limits)
  }

  async waitOf (key: string, policy: Policy, now: number): Promise<number> {
    const [format, level, at] = await this.#call('attempts', () => this.#client.hmget(redisKey(key), 'format', 'level', 'at'))
    if (!isKnownFormat('attempts', format)) return 0
    return waitOf({ level: Number(level), at: Number(at), expiresAt: Infinity }, policy, now)
  }

  async admit (key: string, policy: Policy, now: number): Promise<number> {
    return await this.#count(key, policy, now, 0)
  }

  async count (key: string, policy: Policy, now: number): Promise<void> {
    await this.#count(key, policy, now, 1)
  }

  async uncount (key: string, { forgiveMs }: Policy): Promise<void> {
    await this.#call('attempts', () => this.#client.hatcheckUncountAttempt(redisKey(key), forgiveMs))
  }

  async forget (key: string): Promise<void> {
    await this.#call('attempts', () => this.#client.del(redisKey(key)))
  }

  /** Redis does it by itself. */
  sweep (): boolean {
    return false
  }

  #count (key: string, { free, forgiveMs, firstMs = FIRST_WAIT_MS, longestMs }: Policy, now: number, anyway: 0 | 1): Promise<number> {
    return this.#call('attempts', () => this.#client.hatcheckCountAttempt(redisKey(key), free, forgiveMs, firstMs, longestMs, now, anyway))
  }
}

function redisKey (key: string): string {
  return `hatcheck:attempts:${key}`
}
