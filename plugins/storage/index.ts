import fp from 'fastify-plugin'
import { openStorage, type Storage } from './open.js'

declare module 'fastify' {
  interface Hatcheck {
    storage: Storage
  }
}

export default fp(async function storage (fastify) {
  fastify.hatcheck.storage = openStorage(fastify.hatcheck.config, fastify.log)
}, { name: 'storage', dependencies: ['config'] })
