import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { openStorage } from './open.js'
import { warnOfRights } from './rights.js'
import { guarded } from '../store/errors.js'

export type StorageGroup = Awaited<ReturnType<typeof createStorage>>

export default fp(async function storage (fastify) {
  fastify.hatcheck.provide('storage', await createStorage(fastify))
}, { name: 'storage', dependencies: ['config', 'metrics', 'workers'] })

async function createStorage (fastify: FastifyInstance) {
  const { config, metrics, workers } = fastify.hatcheck
  let handleOf = (key: string): string => key
  const storage = await openStorage(config, fastify.log, (key) => handleOf(key))
  if (workers.sweeps) warnOfRights(config, fastify.log)
  const sessions = metrics === null ? storage.sessions : metrics.measured(storage.sessions)
  return {
    ...storage,
    sessions,
    /** Names sessions by their handle in the log, once the secret keys are known. */
    nameSessionsBy (handleOfKey: (key: string) => string): void { handleOf = handleOfKey },
    /** @throws StoreUnavailableError */
    async ping (): Promise<void> { await guarded('ping', () => sessions.ping()) }
  }
}
