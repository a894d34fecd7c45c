import { MemoryAccounts } from '../accounts/memory-accounts.js'
import { MemoryStore } from '../session/memory-store.js'
import { MemoryAttempts } from '../throttle/memory-attempts.js'
import type { Storage, StorageOptions } from './storage.js'

export function openMemory (options: StorageOptions): Storage {
  const sessions = new MemoryStore(options)
  return {
    sessions,
    accounts: new MemoryAccounts(),
    attempts: new MemoryAttempts(),
    description: 'memory: (sessions end with this process)',
    close: async () => { sessions.close() }
  }
}
