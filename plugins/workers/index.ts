import fp from 'fastify-plugin'
import type { Mode } from '../config/resolve.js'
import { hasDuty, isSessionRefused, isWorker, type SessionRefused } from './duties.js'
import type { Channel } from './ipc.js'

/** The workers of a service (`WORKERS`), from the view of one of them. A single process counts as the only worker. */
export interface Workers {
  readonly isAlone: boolean
  /** Whether this process drops expired records. */
  readonly sweeps: boolean
  /** Tells the other workers to refuse a session until its end is stored. */
  tellRefused (key: string): void
  /** Calls the listener with each session that another worker refuses. Returns a function that removes the listener. */
  onRefused (listener: (key: string) => void): () => void
  /** The channel to the primary; null for a single process. */
  readonly primary: Channel | null
}

export default fp(async function workers (fastify) {
  const { hatcheck } = fastify
  hatcheck.provide('workers', createWorkers(hatcheck.config))
}, { name: 'workers', dependencies: ['config'] })

export function createWorkers ({ mode }: { mode: Mode }): Workers {
  // An application that uses `cluster` manages its own workers.
  const isAlone = mode === 'plugin' || !isWorker()
  return isAlone
    ? { isAlone, sweeps: true, tellRefused () {}, onRefused: () => () => {}, primary: null }
    : { isAlone, sweeps: hasDuty('sweeps'), tellRefused, onRefused, primary: process }
}

function tellRefused (key: string): void {
  // The primary may have ended; then this process ends in a moment. Without a callback, the failed send would be an uncaught error.
  if (process.connected) process.send?.({ hatcheck: 'refuse', key } satisfies SessionRefused, undefined, undefined, () => {})
}

function onRefused (listener: (key: string) => void): () => void {
  const take = (message: unknown): void => { if (isSessionRefused(message)) listener(message.key) }
  process.on('message', take)
  return () => { process.off('message', take) }
}
