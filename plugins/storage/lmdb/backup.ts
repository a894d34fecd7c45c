import { readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { accountKey, type Account, type AccountStore } from '../../store/accounts.js'
import { ConfigError } from '../../common/rule.js'
import { makeFolder } from '../../common/data-folder.js'
import { assertSpace } from './check.js'
import { loadLmdb } from './driver.js'
import { openLmdb } from './open.js'
import type { StorageLog, StorageOptions } from '../common/storage.js'

/** How many accounts share one flush to disk. */
const BATCH = 1_000

/**
 * Writes the accounts of one moment to a new folder, which can then serve as `DATA_DIR`.
 *
 * The backup never contains sessions, not even as deleted data: a session that has ended since must not come back with it. It
 * has no secret key, because key and store together are enough to make tickets.
 *
 * @param folder is created, or must be empty
 * @returns the number of accounts.
 * @throws ConfigError if the folder is not empty or has no space; Error if it cannot be written, and it is then empty.
 */
export async function backUp (accounts: AccountStore, folder: string, options: StorageOptions, log: StorageLog): Promise<number> {
  makeFolder(folder)
  if (readdirSync(folder).length > 0) throw new ConfigError(`${folder} is not empty: a backup takes a folder of its own.`)
  assertSpace(folder)
  const all = await accounts.list()
  // Moved into place at the end: a folder called "lmdb" is always a complete backup.
  const draft = join(folder, 'lmdb.unfinished')
  try {
    await write(all, draft, options, log)
    renameSync(draft, join(folder, 'lmdb'))
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    throw new Error(`The backup could not be written to ${folder}.`, { cause: error })
  }
  return all.length
}

async function write (all: readonly Account[], folder: string, options: StorageOptions, log: StorageLog): Promise<void> {
  const { accounts, close } = openLmdb(await loadLmdb(), folder, options, log)
  try {
    for (let i = 0; i < all.length; i += BATCH) {
      await Promise.all(all.slice(i, i + BATCH).map((account) => accounts.create(accountKey(account.name), account)))
    }
  } finally {
    await close()
  }
}
