import { MemoryAccounts } from './accounts.js'
import { MemoryStore } from './sessions.js'
import { MemoryAttempts } from './attempts.js'
import { MemoryRevocations } from './revocations.js'
import type { Engine, StorageOptions } from '../common/storage.js'

/** Opens a store in the memory of this process. */
export function openMemory (options: StorageOptions): Engine {
  const sessions = new MemoryStore(options)
  return {
    sessions,
    accounts: new MemoryAccounts(),
    attempts: new MemoryAttempts(),
    openRevocations: () => new MemoryRevocations(),
    description: 'memory: (sessions end with this process)',
    close: async () => { sessions.close() }
  }
}
