import fp from 'fastify-plugin'
import type { Mode } from '../config/mode.js'
import { hasDuty, isWorker } from './duties.js'
import { isSessionRefused, requestFrom, respondTo, type Channel, type SessionRefused } from './ipc.js'

/** The workers of a service (`WORKERS`), from the view of one of them. A single process counts as the only worker. */
export interface Workers {
  readonly isAlone: boolean
  /** Whether this process drops expired records. */
  readonly sweeps: boolean
  /** Tells the other workers to refuse a session until its end is stored. */
  tellRefused (key: string): void
  /**
   * Calls the listener with each session that another worker refuses, including those that one refuses already. Resolves, once these
   * are known, to a function that removes the listener.
   *
   * @param own returns the sessions that this worker refuses, for those that start later
   */
  onRefused (listener: (key: string) => void, own: () => string[]): Promise<() => void>
  /** The channel to the primary; null for a single process. */
  readonly primary: Channel | null
}

/** Longer than the primary waits for the other workers. */
const WAIT_MS = 1_000

export default fp(async function workers (fastify) {
  const { hatcheck } = fastify
  hatcheck.provide('workers', createWorkers(hatcheck.config))
}, { name: 'workers', dependencies: ['config'] })

export function createWorkers ({ mode }: { mode: Mode }): Workers {
  // An application that uses `cluster` manages its own workers.
  const isAlone = mode === 'plugin' || !isWorker()
  return isAlone
    ? { isAlone, sweeps: true, tellRefused () {}, onRefused: async () => () => {}, primary: null }
    : { isAlone, sweeps: hasDuty('sweeps'), tellRefused, onRefused, primary: process }
}

function tellRefused (key: string): void {
  // The primary may have ended; then this process ends in a moment. Without a callback, the failed send would be an uncaught error.
  if (process.connected) process.send?.({ hatcheck: 'refuse', key } satisfies SessionRefused, undefined, undefined, () => {})
}

async function onRefused (listener: (key: string) => void, own: () => string[]): Promise<() => void> {
  const take = (message: unknown): void => { if (isSessionRefused(message)) listener(message.key) }
  // Before the question, so that nothing falls between them.
  process.on('message', take)
  const stopResponding = respondTo(process, 'refused', async () => own())
  const refused = process.connected ? await requestFrom(process, 'refused by the others', WAIT_MS).catch(() => []) : []
  for (const key of refused as string[]) listener(key)
  return () => {
    process.off('message', take)
    stopResponding()
  }
}
