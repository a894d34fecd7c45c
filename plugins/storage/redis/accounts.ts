import type { Cluster, Redis } from 'ioredis'
import { storeUnavailable } from '../../store/errors.js'
import { boundedCalls, type BoundedCall, type CallLimits } from '../common/bounded-calls.js'
import { FORMATS, isKnownFormat, type Unreadable } from '../common/formats.js'
import { unreadableAccount, type OnUnreadableAccount } from '../common/damage-log.js'
import { batchesOf } from './batches.js'
import { WRONG_TYPE, isMissing, readHash, wrongType, type StoredHash } from './hash.js'
import { REALMS_KEY, redisKey } from './keys.js'
import { scanKeys } from './scan.js'
import { withScripts, type Scripted } from './scripted.js'
import { isAccount, type Account, type AccountStore } from '../../store/accounts.js'

/** Takes field, value, …. Returns 1, or 0 if the key exists. */
const CREATE = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
`

/** Takes the fields as they were read, with a comma between, then field, value, …. Returns 1, or 0 if the value has changed since. */
const REPLACE = `
if redis.call('TYPE', KEYS[1]).ok == 'hash' and table.concat(redis.call('HGETALL', KEYS[1]), ',') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
`

/** Takes format, ifHash ('' is any), field, value, …. Returns 1, or 0 if the account is missing or has another hash, or -1 if it has another format. */
const UPDATE = `
if (redis.call('HGET', KEYS[1], 'format') or '1') ~= ARGV[1] then return -1 end
local hash = redis.call('HGET', KEYS[1], 'passwordHash')
if not hash or (ARGV[2] ~= '' and ARGV[2] ~= hash) then return 0 end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
`

interface AccountScripts {
  hatcheckCreateAccount (key: string, ...fields: string[]): Promise<0 | 1>
  hatcheckReplaceAccount (key: string, damaged: string, ...fields: string[]): Promise<0 | 1>
  hatcheckUpdateAccount (key: string, format: number, ifHash: string, ...fields: string[]): Promise<0 | 1 | -1>
}

/** Keeps accounts in Redis or Valkey, beside the sessions. An account is a hash that never expires. */
export class RedisAccounts implements AccountStore {
  readonly #client: Scripted<AccountScripts>
  readonly #call: BoundedCall
  readonly #onUnreadable: OnUnreadableAccount

  constructor (client: Redis | Cluster, limits: CallLimits = {}, onUnreadable: OnUnreadableAccount = () => {}) {
    this.#client = withScripts<AccountScripts>(client, { hatcheckCreateAccount: CREATE, hatcheckReplaceAccount: REPLACE, hatcheckUpdateAccount: UPDATE })
    this.#call = boundedCalls(limits)
    this.#onUnreadable = onUnreadable
  }

  async read (key: string): Promise<Account | null> {
    const account = decodeAccount(key, await this.#stored(key))
    if (typeof account === 'string') throw this.#unreadable(key, account)
    return account
  }

  async create (key: string, account: Account): Promise<boolean> {
    const fields = ['format', String(FORMATS.accounts), ...encode(account)]
    if (await this.#call('account', () => this.#client.hatcheckCreateAccount(redisKey.account(key), ...fields)) === 1) return true
    const stored = await this.#stored(key)
    if (decodeAccount(key, stored) !== 'damaged') return false
    const damaged = stored === WRONG_TYPE ? '' : Object.entries(stored).flat().join(',')
    return await this.#call('account', () => this.#client.hatcheckReplaceAccount(redisKey.account(key), damaged, ...fields)) === 1
  }

  async update (key: string, changes: Partial<Account>, ifHash = ''): Promise<boolean> {
    // A damaged account stays damaged whatever is changed.
    if (await this.read(key) === null) return false
    const outcome = await this.#call('account', () => this.#client.hatcheckUpdateAccount(redisKey.account(key), FORMATS.accounts, ifHash, ...encode(changes)))
    if (outcome === -1) throw this.#unreadable(key, 'of an unknown format')
    return outcome === 1
  }

  /** Looks at every key of Redis. It is for `hatcheck user list`. */
  async list (): Promise<Account[]> {
    const pattern = redisKey.account('*')
    const keys = new Set<string>()
    for await (const names of scanKeys(this.#client, this.#call, 'account', pattern)) for (const name of names) keys.add(name.slice(pattern.length - 1))
    const accounts: Account[] = []
    for (const batch of batchesOf([...keys].sort())) {
      const stored = await Promise.all(batch.map((key) => this.#stored(key)))
      for (const [i, key] of batch.entries()) {
        const account = decodeAccount(key, stored[i] as StoredHash)
        if (typeof account === 'string') this.#onUnreadable(key, account)
        else if (account !== null) accounts.push(account)
      }
    }
    return accounts
  }

  async noteRealm (realm: string): Promise<void> {
    const note = (): Promise<unknown> => this.#call('account', () => this.#client.hset(REALMS_KEY, realm, '1').catch(wrongType))
    if (await note() !== WRONG_TYPE) return
    await this.#call('account', () => this.#client.del(REALMS_KEY))
    await note()
  }

  async realms (): Promise<string[]> {
    const noted = await this.#call('account', () => readHash(this.#client, REALMS_KEY))
    return noted === WRONG_TYPE ? [] : Object.keys(noted)
  }

  #stored (key: string): Promise<StoredHash> {
    return this.#call('account', () => readHash(this.#client, redisKey.account(key)))
  }

  #unreadable (key: string, why: Unreadable): Error {
    this.#onUnreadable(key, why)
    return storeUnavailable(unreadableAccount(key, why), 'account')
  }
}

function encode (account: Partial<Account>): string[] {
  return Object.entries(account).flatMap(([field, value]) => value === undefined ? [] : [field, String(value)])
}

/** Decodes an account. Returns null if it is missing, and why it cannot be read if it cannot. */
export function decodeAccount (key: string, stored: StoredHash): Account | null | Unreadable {
  if (stored === WRONG_TYPE) return 'damaged'
  if (isMissing(stored)) return null
  const { format, name, passwordHash, createdAt, disabled } = stored
  if (!isKnownFormat('accounts', format)) return 'of an unknown format'
  const account = { name, passwordHash, createdAt: Number(createdAt), disabled: disabled !== 'false' }
  return isAccount(key, account) && (disabled === 'true' || disabled === 'false') ? account : 'damaged'
}
