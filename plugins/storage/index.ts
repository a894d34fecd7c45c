import fp from 'fastify-plugin'
import { openStorage } from './open.js'
import { warnOfRights } from './rights.js'
import type { Storage } from './common/storage.js'

declare module 'fastify' {
  interface Hatcheck {
    /** The open store. */
    storage: Storage
    /** Returns the handle of the session under a key. Set once the keys are known. */
    handleOfKey?: (key: string) => string
  }
}

export default fp(async function storage (fastify) {
  const { hatcheck } = fastify
  const storage = await openStorage(hatcheck.config, fastify.log, (key) => hatcheck.handleOfKey?.(key) ?? key)
  if (hatcheck.workers.sweeps) warnOfRights(hatcheck.config, fastify.log)
  hatcheck.storage = hatcheck.metrics === null ? storage : { ...storage, sessions: hatcheck.metrics.measured(storage.sessions) }
}, { name: 'storage', dependencies: ['config', 'metrics', 'workers'] })
