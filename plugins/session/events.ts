import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { EventEmitter } from 'node:events'

/** What is told of a session. Its id is never among it. */
export interface SessionEvent {
  /** Names the session, and opens nothing. */
  handle: string
  /** Who is logged in. */
  user: string | null
}

/**
 * What happens to sessions. Each process tells of what it has done itself.
 *
 * - `created`: a session began
 * - `renewed`: one goes on under a new id, and so under a new handle; `previous` is the handle it had
 * - `destroyed`: a logout, or whatever else ended it from within
 * - `expired`: its time was over, and a sweep has dropped it. A store that forgets by itself, such as Redis, tells nothing.
 * - `revoked`: it was ended from without: another password, a disabled account, `app.sessions.revoke` and `revokeUser`, or a
 *   login over `sessionsPerUser`, for which the oldest ends
 */
export interface SessionEvents {
  created: SessionEvent
  renewed: SessionEvent & { previous: string }
  destroyed: SessionEvent
  expired: SessionEvent
  revoked: SessionEvent
}

/** What a listener is given: beside what has happened the request that has done it, or null if none has. */
export type Telling<E extends keyof SessionEvents> = [event: SessionEvents[E], request: FastifyRequest | null]

export class SessionEmitter {
  readonly events = new EventEmitter<{ [E in keyof SessionEvents]: Telling<E> }>()
  readonly #log: Pick<FastifyBaseLogger, 'error'>
  readonly #handleOf: (key: string) => string

  constructor (log: Pick<FastifyBaseLogger, 'error'>, handleOf: (key: string) => string) {
    this.#log = log
    this.#handleOf = handleOf
  }

  /** Tells the listeners. */
  tell (event: Exclude<keyof SessionEvents, 'renewed'>, key: string, user: string | null, request: FastifyRequest | null = null): void {
    this.#emit<Exclude<keyof SessionEvents, 'renewed'>>(event, { handle: this.#handleOf(key), user }, request)
  }

  tellRenewed (key: string, previousKey: string, user: string | null, request: FastifyRequest): void {
    this.#emit('renewed', { handle: this.#handleOf(key), previous: this.#handleOf(previousKey), user }, request)
  }

  /** The session has changed already: what a listener makes of it fails neither the request nor another listener. */
  #emit<E extends keyof SessionEvents> (event: E, ...telling: Telling<E>): void {
    const log = telling[1]?.log ?? this.#log
    const fail = (error: unknown): void => { log.error({ err: error }, `a listener of "${event}" failed`) }
    for (const listener of this.events.listeners(event) as Array<(...told: Telling<E>) => unknown>) {
      try {
        Promise.resolve(listener.apply(this.events, telling)).catch(fail)
      } catch (error) {
        fail(error)
      }
    }
  }
}
