import type { FastifyBaseLogger } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../config/resolve.js'
import type { CompleteSessionStore } from '../store/traits.js'
import type { Workers } from '../workers/index.js'
import { openStorage } from './open.js'
import { warnOfRights } from './rights.js'
import { guarded } from '../store/errors.js'

export type StorageGroup = Awaited<ReturnType<typeof createStorage>>

export default fp(async function storage (fastify) {
  const { hatcheck, log } = fastify
  const { config, workers, metrics } = hatcheck
  const storage = await createStorage({ config, workers, log, ...metrics !== null && { measured: metrics.measured } })
  // At once: if something later fails, the application closes what is open.
  fastify.addHook('onClose', () => storage.close())
  hatcheck.provide('storage', storage)
}, { name: 'storage', dependencies: ['config', 'metrics', 'workers'] })

interface StorageParts {
  config: Config
  workers: Workers
  log: FastifyBaseLogger
  /** Wraps the sessions so that its calls are counted. */
  measured?: (store: CompleteSessionStore) => CompleteSessionStore
}

export async function createStorage ({ config, workers, log, measured = (store) => store }: StorageParts) {
  let handleOf = (key: string): string => key
  const storage = await openStorage(config, log, (key) => handleOf(key))
  if (workers.sweeps) {
    warnOfRights(config, log)
    for (const loss of storage.losses ?? []) log.warn(loss)
  }
  const sessions = measured(storage.sessions)
  return {
    ...storage,
    sessions,
    /** Names sessions by their handle in the log, once the secret keys are known. */
    nameSessionsBy (handleOfKey: (key: string) => string): void { handleOf = handleOfKey },
    /** @throws StoreUnavailableError */
    async ping (): Promise<void> { await guarded('ping', () => sessions.ping()) }
  }
}
