import * as lmdb from 'lmdb'
import type { Engine, StorageLog, StorageOptions } from '../../plugins/storage/common/storage.js'
import { openLmdb as openWith } from '../../plugins/storage/lmdb/open.js'

/** Opens a folder as the service does, with LMDB loaded already. */
export function openLmdb (folder: string, options: StorageOptions, log: StorageLog): Engine {
  return openWith(lmdb, folder, options, log)
}
