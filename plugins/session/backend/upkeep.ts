import type { FastifyBaseLogger } from 'fastify'
import { SLICE_MS } from '../../common/slices.js'
import { startSweeping } from '../../common/sweeping.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import type { Workers } from '../../workers/index.js'
import type { SessionEmitter } from './events.js'
import { endIn } from './in-store.js'
import { startRetrying } from './retries.js'

export interface Upkeep {
  /** Refuses this session from now on, whatever the store says, until its end is stored. */
  refuse (key: string): void
  /** Ends a session that may be stored although nobody has its ticket: the store failed as it began. */
  discard (key: string): void
  isRefused (key: string): boolean
  stop (): void
}

/** Starts the work on a store that no request waits for. One of several workers sweeps; all refuse what one refuses. */
export async function startUpkeep (store: CompleteSessionStore, emitter: SessionEmitter, log: FastifyBaseLogger, workers: Workers, isOwn: (key: string) => boolean): Promise<Upkeep> {
  const refused = new Set<string>()
  const discarded = new Set<string>()

  const stopListening = await workers.onRefused((key) => { refused.add(key) }, () => [...refused])
  const stopSweeping = workers.sweeps
    ? startSweeping(async () => await store.sweep(SLICE_MS, emitExpired) > 0, (error) => { log.warn({ err: error }, 'sweep failed') })
    : () => {}
  const stopRetrying = startRetrying(() => [...refused, ...discarded], endNow)

  function emitExpired (key: string, user: string | null): void {
    // The sweep also drops sessions of other realms in the same store.
    if (isOwn(key)) emitter.emit('expired', key, user)
  }

  async function endNow (key: string): Promise<boolean> {
    try {
      const ended = await endIn(store, key)
      discarded.delete(key)
      if (!refused.delete(key)) return true
      if (ended !== null) emitter.emit('destroyed', ended.key, ended.record.user)
      log.info('the end of a session is stored now')
      return true
    } catch (error) {
      log.debug({ err: error }, 'the end of a session still cannot be stored')
      // Moves the key behind the others.
      for (const keys of [refused, discarded]) if (keys.delete(key)) keys.add(key)
      return false
    }
  }

  return {
    refuse (key) {
      refused.add(key)
      workers.tellRefused(key)
    },
    discard (key) { discarded.add(key) },
    isRefused: (key) => refused.size > 0 && refused.has(key),
    stop () {
      stopListening()
      stopSweeping()
      stopRetrying()
    }
  }
}
