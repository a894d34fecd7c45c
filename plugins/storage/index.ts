import fp from 'fastify-plugin'
import { openStorage } from './open.js'
import type { Storage } from './storage.js'

declare module 'fastify' {
  interface Hatcheck {
    storage: Storage
  }
}

export default fp(async function storage (fastify) {
  fastify.hatcheck.storage = await openStorage(fastify.hatcheck.config, fastify.log)
}, { name: 'storage', dependencies: ['config'] })
