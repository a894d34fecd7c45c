import type { FastifyBaseLogger } from 'fastify'
import type { Workers } from '../workers/index.js'
import type { SessionEmitter } from './events.js'
import type { SessionStore, StoredSession } from '../store/sessions.js'
import type { CompleteSessionStore } from '../store/traits.js'

/** How often expired records are looked for. */
const SWEEP_EVERY_MS = 60_000
/** A slice of a sweep holds the event loop no longer than this. */
const SLICE_MS = 5
/** How often the end of a session that the store could not take is tried again. */
const RETRY_EVERY_MS = 1_000
/** Ends that are tried at once. */
const RETRIES_AT_ONCE = 100

export interface Upkeep {
  /** From now on this session is refused, whatever the store says, until its end is stored. */
  refuse (key: string): void
  /** Ends what may be stored under a key that nobody has a ticket for: its beginning has failed. */
  discard (key: string): void
  isRefused (key: string): boolean
  stop (): void
}

/** The work on a store that no request waits for. Of several workers one sweeps; what one refuses, all refuse. */
export function startUpkeep (store: CompleteSessionStore, emitter: SessionEmitter, log: FastifyBaseLogger, workers: Workers, isOwn: (key: string) => boolean): Upkeep {
  const refused = new Set<string>()
  const discarded = new Set<string>()
  const trying = new Set<string>()
  const stopping = new AbortController()

  const sweeping = workers.sweeps
    ? setInterval(() => { sweep().catch((error: unknown) => { log.warn({ err: error }, 'sweep failed') }) }, SWEEP_EVERY_MS).unref()
    : undefined
  const retrying = setInterval(retry, RETRY_EVERY_MS).unref()
  const stopListening = workers.onRefused((key) => { refused.add(key) })

  function tellExpired (key: string, user: string | null): void {
    // The sweep also drops the sessions of other realms in the same store.
    if (isOwn(key)) emitter.tell('expired', key, user)
  }

  async function sweep (): Promise<void> {
    while (!stopping.signal.aborted && await store.sweep(SLICE_MS, tellExpired) > 0) await new Promise((resolve) => { setImmediate(resolve) })
  }

  async function retry (): Promise<void> {
    const due = [...refused, ...discarded].filter((key) => !trying.has(key)).slice(0, RETRIES_AT_ONCE - trying.size)
    const outcomes = await Promise.all(due.map(endNow))
    if (outcomes.includes(true) && !stopping.signal.aborted) await retry()
  }

  /** Each on its own: one that cannot be ended, or gets no answer, keeps no other from it. */
  async function endNow (key: string): Promise<boolean> {
    trying.add(key)
    try {
      const ended = await endIn(store, key)
      discarded.delete(key)
      if (!refused.delete(key)) return true
      if (ended !== null) emitter.tell('destroyed', ended.key, ended.record.user)
      log.info('the end of a session is stored now')
      return true
    } catch (error) {
      log.debug({ err: error }, 'the end of a session still cannot be stored')
      // The others come first now.
      for (const keys of [refused, discarded]) if (keys.delete(key)) keys.add(key)
      return false
    } finally {
      trying.delete(key)
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
      stopping.abort()
      stopListening()
      clearInterval(sweeping)
      clearInterval(retrying)
    }
  }
}

/**
 * Ends a session, or the one that it has become: another request may have renewed it, and may not have been answered yet.
 *
 * @returns the session as it was at its end, or null if there was none.
 */
export async function endIn (store: SessionStore, key: string): Promise<StoredSession | null> {
  const record = await store.remove(key)
  if (record !== null) return { key, record }
  const nextKey = await successorIn(store, key)
  return nextKey === null ? null : await endIn(store, nextKey)
}

export async function successorIn (store: SessionStore, key: string): Promise<string | null> {
  return await store.successor?.(key) ?? null
}
