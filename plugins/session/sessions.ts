import type { FastifyRequest } from 'fastify'
import type { Lifetimes } from '../common/clock.js'
import type { SessionEmitter, SessionEvents, Telling } from './events.js'
import type { Keyring } from '../tickets/keyring.js'
import type { CompleteSessionStore } from '../store/traits.js'
import { endSessionOfUser, endSessionsOfUser, sessionsOfUser, type UserSession } from './user-sessions.js'

/** The sessions of every user: `app.sessions`. */
export interface Sessions {
  readonly store: CompleteSessionStore
  /**
   * Replaces the secret keys while the application runs: the first signs from now on, all verify. A cookie that another
   * than the first has signed is signed anew with the next response; one whose key is not in the list any more is worth
   * nothing.
   *
   * @throws ConfigError if one of them is no good key; then they stay as they were.
   */
  setSecretKeys (secretKeys: ReadonlyArray<string | Uint8Array>): void
  /**
   * Reads `secretKeyFile` anew at once. It is looked at every second anyway.
   *
   * @throws ConfigError if there is no good key in it; then they stay as they were.
   */
  reloadSecretKeys (): void
  /**
   * The live sessions of a user, by the name that was given to `request.login`: the newest activity first, none for a
   * name that nobody has.
   *
   * @throws StoreUnavailableError
   */
  ofUser (name: string): Promise<UserSession[]>
  /**
   * Ends one session of a user, by its handle, wherever it is in use. False, and nothing has changed, if no live session
   * of this user has it: another user's handle is as good as none.
   *
   * @param request who asks for it, for the listeners of `revoked`
   * @throws StoreUnavailableError
   */
  revoke (name: string, handle: string, request?: FastifyRequest): Promise<boolean>
  /**
   * Ends every session of a user, wherever it is in use: it is final for all that existed when the call began. Answers how
   * many it has ended.
   *
   * @throws StoreUnavailableError
   */
  revokeUser (name: string): Promise<number>
  /** Adds a listener. It is told once of each, and given the request that has done it, or null; what it throws is logged, and fails no request. */
  on<E extends keyof SessionEvents> (event: E, listener: (...told: Telling<E>) => void): void
  /** Takes a listener away. */
  off<E extends keyof SessionEvents> (event: E, listener: (...told: Telling<E>) => void): void
}

export function createSessions (
  store: CompleteSessionStore,
  keyring: Keyring,
  emitter: SessionEmitter,
  { lifetimes, now }: { lifetimes: Lifetimes, now: () => number }
): Sessions {
  const context = { store, lifetimes, now, handleOf: (key: string) => keyring.office.handleOf(key) }
  return {
    store,
    setSecretKeys: keyring.replace,
    reloadSecretKeys: keyring.reload,
    ofUser: (name) => sessionsOfUser(name, context),
    async revoke (name, handle, request) {
      const key = await endSessionOfUser(name, handle, context)
      if (key !== null) emitter.tell('revoked', key, name, request)
      return key !== null
    },
    revokeUser: (name) => endSessionsOfUser(name, store, (key) => { emitter.tell('revoked', key, name) }),
    on: (event, listener) => { emitter.events.on(event, listener as never) },
    off: (event, listener) => { emitter.events.off(event, listener as never) }
  }
}
