import type { FastifyRequest } from 'fastify'
import type { Lifetimes } from '../common/clock.js'
import type { SessionEmitter, SessionEvents, ListenerArguments } from './events.js'
import type { Keyring } from '../tickets/keyring.js'
import type { CompleteSessionStore } from '../store/traits.js'
import { endSessionOfUser, endSessionsOfUser, sessionsOfUser, type UserSession } from './user-sessions.js'

/** The sessions of every user: `app.sessions`. */
export interface Sessions {
  readonly store: CompleteSessionStore
  /**
   * Replaces the secret keys while the application runs. The first key signs, all keys verify. The next response signs a
   * cookie again if another key than the first has signed it. A cookie whose key is no longer in the list is invalid.
   *
   * @throws ConfigError if one of the keys cannot be used. The keys stay as they were then.
   */
  setSecretKeys (secretKeys: ReadonlyArray<string | Uint8Array>): void
  /**
   * Reads `secretKeyFile` again at once. hatcheck also checks it for changes every second.
   *
   * @throws ConfigError if a key in it cannot be used. The keys stay as they were then.
   */
  reloadSecretKeys (): void
  /**
   * Lists the live sessions of a user, newest activity first. The list is empty for an unknown name.
   *
   * @param name the name that was given to `request.login`
   * @throws StoreUnavailableError
   */
  ofUser (name: string): Promise<UserSession[]>
  /**
   * Ends one session of a user, by its handle, wherever it is in use. Returns false, and changes nothing, if no live
   * session of this user has the handle.
   *
   * @param request the request that asks for it, for the listeners of `revoked`
   * @throws StoreUnavailableError
   */
  revoke (name: string, handle: string, request?: FastifyRequest): Promise<boolean>
  /**
   * Ends every session of a user that existed when the call began, wherever it is in use, for good. Returns how many.
   *
   * @throws StoreUnavailableError
   */
  revokeUser (name: string): Promise<number>
  /** Adds a listener. It gets the event and the request that caused it, or null. Its errors are logged and fail no request. */
  on<E extends keyof SessionEvents> (event: E, listener: (...given: ListenerArguments<E>) => void): void
  /** Removes a listener. */
  off<E extends keyof SessionEvents> (event: E, listener: (...given: ListenerArguments<E>) => void): void
}

export function createSessions (
  store: CompleteSessionStore,
  keyring: Keyring,
  emitter: SessionEmitter,
  { lifetimes, now }: { lifetimes: Lifetimes, now: () => number }
): Sessions {
  const context = { store, lifetimes, now, handleOf: (key: string) => keyring.signer.handleOf(key) }
  return {
    store,
    setSecretKeys: keyring.replace,
    reloadSecretKeys: keyring.reload,
    ofUser: (name) => sessionsOfUser(name, context),
    async revoke (name, handle, request) {
      const key = await endSessionOfUser(name, handle, context)
      if (key !== null) emitter.emit('revoked', key, name, request)
      return key !== null
    },
    revokeUser: (name) => endSessionsOfUser(name, store, (key) => { emitter.emit('revoked', key, name) }),
    on: (event, listener) => { emitter.events.on(event, listener as never) },
    off: (event, listener) => { emitter.events.off(event, listener as never) }
  }
}
