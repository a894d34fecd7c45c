import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { EventEmitter } from 'node:events'
import { logError } from '../../common/log-error.js'
import { isThenable } from '../../common/maybe-promise.js'

/** Describes a session to listeners. It never has the ID. */
export interface SessionEvent {
  /** Names the session, and grants no access. */
  handle: string
  /** The user who is logged in, or null. */
  user: string | null
}

/** The events of sessions. Each process emits the events of its own changes. */
export interface SessionEvents {
  /** A session has begun. */
  created: SessionEvent
  /** A session continues under a new ID, and so under a new handle; `previous` is its former handle. */
  renewed: SessionEvent & { previous: string }
  /** A session has ended by a logout, by `destroy()`, or by a login as another user. */
  destroyed: SessionEvent
  /** The time of a session was over, and a sweep has dropped it. A store that drops sessions by itself, such as Redis, emits nothing. */
  expired: SessionEvent
  /**
   * A session was ended from outside: by a new password, a disabled account, `app.sessions.revoke` and `revokeUser`, or a login over
   * `sessionsPerUser`, which ends the oldest. If another realm has changed the account, nothing is emitted.
   */
  revoked: SessionEvent
}

export const EVENTS = ['created', 'renewed', 'destroyed', 'expired', 'revoked'] as const satisfies ReadonlyArray<keyof SessionEvents>

/** The arguments of a listener: the event, and the request that caused it, or null. */
export type ListenerArguments<E extends keyof SessionEvents> = [event: SessionEvents[E], request: FastifyRequest | null]

type PlainEvent = Exclude<keyof SessionEvents, 'renewed'>

export class SessionEmitter {
  readonly events = new EventEmitter<{ [E in keyof SessionEvents]: ListenerArguments<E> }>()
  readonly #log: Pick<FastifyBaseLogger, 'error'>
  readonly #handleOf: (key: string) => string

  constructor (log: Pick<FastifyBaseLogger, 'error'>, handleOf: (key: string) => string) {
    this.#log = log
    this.#handleOf = handleOf
  }

  emit (event: PlainEvent, key: string, user: string | null, request: FastifyRequest | null = null): void {
    if (this.events.listenerCount(event) > 0) this.#emit<PlainEvent>(event, { handle: this.#handleOf(key), user }, request)
  }

  emitRenewed (key: string, previousKey: string, user: string | null, request: FastifyRequest | null): void {
    if (this.events.listenerCount('renewed') > 0) this.#emit('renewed', { handle: this.#handleOf(key), previous: this.#handleOf(previousKey), user }, request)
  }

  /** Calls the listeners. The session has already changed, so an error of a listener fails neither the request nor another listener. */
  #emit<E extends keyof SessionEvents> (event: E, told: SessionEvents[E], request: FastifyRequest | null): void {
    const log = request?.log ?? this.#log
    const fail = (error: unknown): void => { logError(log, error, `a listener of "${event}" failed`) }
    for (const listener of this.events.listeners(event) as Array<(...given: ListenerArguments<E>) => unknown>) {
      try {
        // Each gets an object of its own: one that changes it must not change what the others are told.
        const answer = listener.call(this.events, { ...told }, request)
        if (isThenable(answer)) answer.then(undefined, fail)
      } catch (error) {
        fail(error)
      }
    }
  }
}
