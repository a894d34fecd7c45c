import fp from 'fastify-plugin'
import { hasDuty, isRefusal, isWorker, type Refusal } from './duties.js'
import type { Channel } from './questions.js'

/** The processes that serve together (`WORKERS`), as one of them sees them. A process that is alone is all of them. */
export interface Workers {
  readonly isAlone: boolean
  /** Whether this process is the one that drops what has expired. */
  readonly sweeps: boolean
  /** Tells the others that a session is to be refused until its end is stored. */
  tellRefused (key: string): void
  /** Calls the listener with what another has told. Returns what ends that. */
  onRefused (listener: (key: string) => void): () => void
  /** What connects this process with the primary; null if it is alone. */
  readonly primary: Channel | null
}

export default fp(async function workers (fastify) {
  const { hatcheck } = fastify
  // How an application divides its work is its own business.
  const isAlone = hatcheck.config.mode === 'plugin' || !isWorker()
  hatcheck.provide('workers', isAlone
    ? { isAlone, sweeps: true, tellRefused () {}, onRefused: () => () => {}, primary: null }
    : { isAlone, sweeps: hasDuty('sweeps'), tellRefused, onRefused, primary: process })
}, { name: 'workers', dependencies: ['config'] })

function tellRefused (key: string): void {
  // The primary may be gone; then so is this process in a moment. Without a callback, that would be an uncaught error.
  if (process.connected) process.send?.({ hatcheck: 'refuse', key } satisfies Refusal, undefined, undefined, () => {})
}

function onRefused (listener: (key: string) => void): () => void {
  const take = (message: unknown): void => { if (isRefusal(message)) listener(message.key) }
  process.on('message', take)
  return () => { process.off('message', take) }
}
