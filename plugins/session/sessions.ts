import { guarded } from './errors.js'
import type { SessionEmitter, SessionEvents, Telling } from './events.js'
import type { Keyring } from './keyring.js'
import type { SessionStore } from './store.js'

/** The sessions of every user: `app.sessions`. */
export interface Sessions {
  readonly store: SessionStore
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

export function createSessions (store: SessionStore, keyring: Keyring, emitter: SessionEmitter): Sessions {
  return {
    store,
    setSecretKeys: keyring.replace,
    reloadSecretKeys: keyring.reload,
    revokeUser: (name) => guarded('revoke', () => store.removeOfUser(name, undefined, (key) => { emitter.tell('revoked', key, name) })),
    on: (event, listener) => { emitter.events.on(event, listener as never) },
    off: (event, listener) => { emitter.events.off(event, listener as never) }
  }
}
