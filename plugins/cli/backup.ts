import { resolve } from 'node:path'
import type { AccountStore } from '../store/accounts.js'
import { ConfigError } from '../common/rule.js'
import { backUp } from '../storage/lmdb/backup.js'
import { UsageError, expectEnd, type Io } from './io.js'
import { storedConfiguration, withStorage } from './storage.js'

/** Runs `hatcheck backup FOLDER`. */
export async function backup ([folder = '', ...rest]: string[], io: Io): Promise<number> {
  expectEnd(rest)
  if (folder === '') throw new UsageError('missing argument: backup FOLDER')
  if ((await storedConfiguration(io, 'accounts')).engine.name === 'redis') {
    throw new ConfigError('SESSION_STORE is Redis; "backup" copies LMDB only. Use the backups of Redis.')
  }
  return await withStorage(io, { what: 'accounts' }, async ({ accounts }, { now, sessionMaxBytes: maxBytes }, log) => {
    const count = await backUp(accounts as AccountStore, resolve(folder), { now, maxBytes }, log)
    io.stdout.write(`${count} account${count === 1 ? '' : 's'} backed up.\n`)
  })
}
