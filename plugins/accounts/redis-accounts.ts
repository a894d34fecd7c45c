import type { Cluster, Redis } from 'ioredis'
import { storeUnavailable } from '../session/errors.js'
import { boundedCalls, type BoundedCall, type CallLimits } from '../storage/bounded-calls.js'
import { FORMATS, isKnownFormat } from '../storage/formats.js'
import { UnknownFormatError, type Account, type AccountStore } from './store.js'

/** field, value, …: 1, or 0 if there is something. */
const CREATE = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
`

/** format, ifHash ('' is any), field, value, …: 1, or 0 if there is no account, or another hash, or -1 if it has another format. */
const UPDATE = `
if (redis.call('HGET', KEYS[1], 'format') or ARGV[1]) ~= ARGV[1] then return -1 end
local hash = redis.call('HGET', KEYS[1], 'passwordHash')
if not hash or (ARGV[2] ~= '' and ARGV[2] ~= hash) then return 0 end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
`

interface AccountScripts {
  hatcheckCreateAccount (key: string, ...fields: string[]): Promise<0 | 1>
  hatcheckUpdateAccount (key: string, format: number, ifHash: string, ...fields: string[]): Promise<0 | 1 | -1>
}

/** Accounts in Redis or Valkey, beside the sessions: a hash an account, which never expires. */
export class RedisAccounts implements AccountStore {
  readonly #client: (Redis | Cluster) & AccountScripts
  readonly #call: BoundedCall
  readonly #onUnknownFormat: (key: string) => void

  /** @param onUnknownFormat told of each account that this version cannot read. */
  constructor (client: Redis | Cluster, limits: CallLimits = {}, onUnknownFormat: (key: string) => void = () => {}) {
    client.defineCommand('hatcheckCreateAccount', { numberOfKeys: 1, lua: CREATE })
    client.defineCommand('hatcheckUpdateAccount', { numberOfKeys: 1, lua: UPDATE })
    this.#client = client as (Redis | Cluster) & AccountScripts
    this.#call = boundedCalls(limits)
    this.#onUnknownFormat = onUnknownFormat
  }

  async read (key: string): Promise<Account | null> {
    const account = await this.#find(key)
    if (account === UNKNOWN_FORMAT) throw this.#unknownFormat(key)
    return account
  }

  async create (key: string, account: Account): Promise<boolean> {
    const fields = ['format', String(FORMATS.accounts), ...encode(account)]
    return await this.#call('account', () => this.#client.hatcheckCreateAccount(redisKey(key), ...fields)) === 1
  }

  async update (key: string, changes: Partial<Account>, ifHash = ''): Promise<boolean> {
    const outcome = await this.#call('account', () => this.#client.hatcheckUpdateAccount(redisKey(key), FORMATS.accounts, ifHash, ...encode(changes)))
    if (outcome === -1) throw this.#unknownFormat(key)
    return outcome === 1
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
    for (const name of [...found].sort()) {
      const key = name.slice(redisKey('').length)
      const account = await this.#find(key)
      if (account === UNKNOWN_FORMAT) this.#onUnknownFormat(key)
      else if (account !== null) accounts.push(account)
    }
    return accounts
  }

  async #find (key: string): Promise<Account | null | typeof UNKNOWN_FORMAT> {
    const stored = await this.#call('account', () => this.#client.hgetall(redisKey(key)))
    return isKnownFormat('accounts', stored['format']) ? decode(stored) : UNKNOWN_FORMAT
  }

  #unknownFormat (key: string): Error {
    this.#onUnknownFormat(key)
    return storeUnavailable(new UnknownFormatError(key), 'account')
  }
}

const UNKNOWN_FORMAT = Symbol('unknown format')

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
