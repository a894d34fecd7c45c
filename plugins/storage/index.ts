import fp from 'fastify-plugin'
import { openStorage } from './open.js'
import type { Storage } from './storage.js'

declare module 'fastify' {
  interface Hatcheck {
    storage: Storage
  }
}

export default fp(async function storage (fastify) {
  const { hatcheck } = fastify
  const storage = await openStorage(hatcheck.config, fastify.log)
  hatcheck.storage = hatcheck.metrics === null ? storage : { ...storage, sessions: hatcheck.metrics.measured(storage.sessions) }
}, { name: 'storage', dependencies: ['config', 'metrics'] })
