import { open } from 'lmdb'
import type { FastifyBaseLogger } from 'fastify'
import { accessSync, constants, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { LmdbAccounts } from '../accounts/lmdb-accounts.js'
import { MemoryAccounts } from '../accounts/memory-accounts.js'
import type { AccountStore } from '../accounts/store.js'
import { ConfigError, assertRule, type Config } from '../config/resolve.js'
import { LmdbStore } from '../session/lmdb-store.js'
import { MemoryStore } from '../session/memory-store.js'
import type { SessionStore } from '../session/store.js'

/** One engine that keeps both sessions and accounts. */
export interface Storage {
  sessions: SessionStore
  /** Null when the host brought its own session store: that keeps no accounts. */
  accounts: AccountStore | null
  /** Where it is, for people. */
  description: string
  close (): Promise<void>
}

type StorageConfig = Pick<Config, 'mode' | 'sessionStore' | 'dataDir' | 'sessionMaxBytes' | 'now'>

/**
 * Opens what `sessionStore` names.
 *
 * @throws ConfigError if nothing can be opened there.
 */
export function openStorage (config: StorageConfig, log: Pick<FastifyBaseLogger, 'warn'>): Storage {
  const { sessionStore: store, dataDir, sessionMaxBytes: maxBytes, now } = config
  if (typeof store === 'object') {
    // Whoever has opened it closes it.
    return { sessions: store, accounts: null, description: 'the store of the application', close: async () => {} }
  }
  if (store === 'memory:') {
    const sessions = new MemoryStore({ now, maxBytes })
    return { sessions, accounts: new MemoryAccounts(), description: 'memory: (sessions end with this process)', close: async () => { sessions.close() } }
  }
  const name = config.mode === 'plugin' ? 'sessionStore' : 'SESSION_STORE'
  assertRule(store.startsWith('lmdb:'), `${name} must be memory:, lmdb: or lmdb:./some/folder; got "${schemeOf(store)}".`)
  const path = store.slice('lmdb:'.length)
  return openLmdb(path === '' ? join(dataDir, 'lmdb') : resolve(path), { now, maxBytes }, log)
}

/** Room for what is there now and what is to come. */
const MOST_DATABASES = 16
/** The mode of files that LMDB creates, an option that its types have left out: the folder may be open to others. */
const FOR_THE_OWNER = { permissionsMode: 0o600 }

function openLmdb (folder: string, options: { now: () => number, maxBytes: number }, log: Pick<FastifyBaseLogger, 'warn'>): Storage {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    accessSync(folder, constants.W_OK)
  } catch (error) {
    throw new ConfigError(`The data folder cannot be written (DATA_DIR, SESSION_STORE): ${(error as Error).message}.`)
  }
  const corrupt = new Set<string>()
  const env = open({ path: folder, maxDbs: MOST_DATABASES, noSubdir: false, ...FOR_THE_OWNER })
  const sessions = new LmdbStore(env, {
    ...options,
    onCorrupt (key) {
      if (corrupt.has(key)) return
      corrupt.add(key)
      log.warn({ key }, 'a stored session cannot be read and counts as absent')
    }
  })
  return {
    sessions,
    accounts: new LmdbAccounts(env),
    description: `lmdb:${folder}`,
    async close () {
      await sessions.close()
      await env.close()
    }
  }
}

/** A url may carry a password, and not always where one looks for it. */
function schemeOf (url: string): string {
  return url.replace(/:.*$/s, ':…')
}
