import type { Cluster, Redis } from 'ioredis'
import { boundedCalls, type BoundedCall, type CallLimits } from '../storage/bounded-calls.js'
import type { Account, AccountStore } from './store.js'

/** field, value, …: 1, or 0 if there is something. */
const CREATE = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
`

/** ifHash ('' is any), field, value, …: 1, or 0 if there is no account, or another hash. */
const UPDATE = `
local hash = redis.call('HGET', KEYS[1], 'passwordHash')
if not hash or (ARGV[1] ~= '' and ARGV[1] ~= hash) then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
`

interface AccountScripts {
  hatcheckCreateAccount (key: string, ...fields: string[]): Promise<0 | 1>
  hatcheckUpdateAccount (key: string, ifHash: string, ...fields: string[]): Promise<0 | 1>
}

/** Accounts in Redis or Valkey, beside the sessions: a hash an account, which never expires. */
export class RedisAccounts implements AccountStore {
  readonly #client: (Redis | Cluster) & AccountScripts
  readonly #call: BoundedCall

  constructor (client: Redis | Cluster, limits: CallLimits = {}) {
    client.defineCommand('hatcheckCreateAccount', { numberOfKeys: 1, lua: CREATE })
    client.defineCommand('hatcheckUpdateAccount', { numberOfKeys: 1, lua: UPDATE })
    this.#client = client as (Redis | Cluster) & AccountScripts
    this.#call = boundedCalls(limits)
  }

  async read (key: string): Promise<Account | null> {
    return decode(await this.#call('account', () => this.#client.hgetall(redisKey(key))))
  }

  async create (key: string, account: Account): Promise<boolean> {
    return await this.#call('account', () => this.#client.hatcheckCreateAccount(redisKey(key), ...encode(account))) === 1
  }

  async update (key: string, changes: Partial<Account>, ifHash = ''): Promise<boolean> {
    return await this.#call('account', () => this.#client.hatcheckUpdateAccount(redisKey(key), ifHash, ...encode(changes))) === 1
  }

  /** Looks at every key of Redis: for `hatcheck user list`. */
  async list (): Promise<Account[]> {
    const found = new Set<string>()
    for (const node of 'nodes' in this.#client ? this.#client.nodes('master') : [this.#client]) {
      let cursor = '0'
      do {
        const [next, keys] = await this.#call('account', () => node.scan(cursor, 'MATCH', redisKey('*'), 'COUNT', 1_000, 'TYPE', 'hash'))
        for (const key of keys) found.add(key)
        cursor = next
      } while (cursor !== '0')
    }
    const accounts: Account[] = []
    for (const key of [...found].sort()) {
      const account = await this.read(key.slice(redisKey('').length))
      if (account !== null) accounts.push(account)
    }
    return accounts
  }
}

function redisKey (key: string): string {
  return `hatcheck:account:${key}`
}

function encode (account: Partial<Account>): string[] {
  return Object.entries(account).flatMap(([field, value]) => value === undefined ? [] : [field, String(value)])
}

function decode ({ name, passwordHash, createdAt, disabled }: Record<string, string>): Account | null {
  if (name === undefined || passwordHash === undefined) return null
  return { name, passwordHash, createdAt: Number(createdAt), disabled: disabled !== 'false' }
}
