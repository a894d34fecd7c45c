import type { FastifyBaseLogger, FastifyRequest, Session as Data } from 'fastify'
import { inspect } from 'node:util'
import { standaloneCall } from '../../common/calls.js'
import { kOutside } from '../../common/registration.js'
import { UnsupportedError } from '../../common/unsupported.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import type { Keyring } from '../../tickets/keyring.js'
import { EVENTS, type SessionEvents, type ListenerArguments } from '../backend/events.js'
import { assertUserName } from '../model/user.js'
import { beginSession, type BegunSession, type BeginOptions } from './begin.js'
import type { Outside } from './outside.js'
import { readSession, type ForeignRequest, type ReadOptions, type ReadSession } from './read.js'
import { endSessionOfUser, endSessionsOfUser, sessionsOfUser, type UserSession } from './user-sessions.js'

/** The sessions of every user: `app.sessions`. `Values` are those of the type provider. */
export interface Sessions<Values = Data> {
  /** The session store. What the application itself writes there is not checked by `sessionSchema`, and emits no event. */
  readonly store: CompleteSessionStore
  /**
   * Begins a session for a user outside of a request, for a magic link or a login that another program has checked. When it
   * resolves, the session is stored. The session counts for `sessionsPerUser`, and `created` is emitted. Checks no password:
   * do that first.
   *
   * @param name the name of the user, as for `request.login`
   * @returns the cookie, which logs the browser of the user in, and the handle
   * @throws UserNameError, SessionKeyError, SessionValueError, SessionSchemaError (500)
   * @throws FlaskDepthError (500) with the store `flask:`.
   * @throws SessionTooLargeError (413)
   * @throws InsecureTransportError (400) if `secure` is false and `sessionCookieSecure` is true.
   * @throws StoreUnavailableError (503)
   */
  begin (name: string, options?: BeginOptions<Values>): Promise<BegunSession>
  /**
   * Reads the session of a client of another server beside Fastify, such as socket.io. It records no activity. Returns null for
   * a missing or invalid cookie, and for a session that has ended.
   *
   * @param from the request, or the text of its Cookie header
   * @throws UnsupportedError (500) if an object has no headers.
   * @throws StoreUnavailableError (503) if the store cannot answer: nothing is known about the session then.
   */
  read (from: string | ForeignRequest | null | undefined, options?: ReadOptions): Promise<ReadSession<Values> | null>
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
   * @throws ConfigError if there is no such file, or a key in it cannot be used. The keys stay as they were then.
   */
  reloadSecretKeys (): void
  /**
   * Lists the live sessions of a user, newest activity first. The list is empty for an unknown name.
   *
   * @param name the name that was given to `request.login`
   * @throws UserNameError (500) if it is not text, such as `request.user` instead of `request.user.name`.
   * @throws SessionsInCookiesError (501) if the sessions are in the cookies of the browsers.
   * @throws StoreMethodMissingError (501) if the session store has no `ofUser`.
   * @throws StoreUnavailableError (503)
   */
  ofUser (name: string): Promise<UserSession[]>
  /**
   * Ends one session of a user, by its handle, wherever it is in use. Returns false, and changes nothing, if no live
   * session of this user has the handle.
   *
   * @param request the request that asks for it, for the listeners of `revoked`
   * @throws UserNameError (500) if the name is not text.
   * @throws SessionsInCookiesError (501) if the sessions are in the cookies of the browsers.
   * @throws StoreMethodMissingError (501) if the session store has no `ofUser`.
   * @throws StoreUnavailableError (503)
   */
  revoke (name: string, handle: string, request?: FastifyRequest): Promise<boolean>
  /**
   * Ends every session of a user that existed when the call began, wherever it is in use, for good. Returns how many; 0 if the
   * sessions are in the cookies of the browsers, where nobody can count them.
   *
   * @throws UserNameError (500) if the name is not text.
   * @throws RevocationOffError (501) if `sessionRevocation` is `none`.
   * @throws StoreMethodMissingError (501) if the session store has no `removeOfUser`.
   * @throws StoreUnavailableError (503)
   */
  revokeUser (name: string): Promise<number>
  /**
   * Adds a listener. It gets the event and the request that caused it, or null. Its errors are logged and fail no request.
   *
   * @throws UnsupportedError (500) if there is no such event.
   */
  on<E extends keyof SessionEvents> (event: E, listener: (...given: ListenerArguments<E>) => void): void
  /** Removes a listener. */
  off<E extends keyof SessionEvents> (event: E, listener: (...given: ListenerArguments<E>) => void): void
}

export function createSessions (
  store: CompleteSessionStore,
  keyring: Keyring,
  outside: Outside,
  log: Pick<FastifyBaseLogger, 'error'>
): Sessions & { readonly [kOutside]: Outside } {
  const { lifetimes, now, handleOf, emitter } = outside
  const context = { store, lifetimes, now, handleOf }
  const call = <T>(work: () => Promise<T>): Promise<T> => standaloneCall(work, (error) => { log.error({ err: error }, 'a call of app.sessions failed, and nobody awaits it') })
  /** A name that no user can have has no sessions. An object instead of a name is a mistake: the call would end nothing. @throws UserNameError */
  const callFor = <T>(name: unknown, caller: string, work: () => Promise<T>): Promise<T> => call(async () => {
    if (typeof name !== 'string') assertUserName(name, `app.sessions.${caller}`)
    return await work()
  })
  return {
    store,
    [kOutside]: outside,
    begin: (name, options) => call(() => beginSession(name, options ?? {}, outside)),
    read: (from, options) => call(() => readSession(from, options ?? {}, outside)),
    setSecretKeys: keyring.replace,
    reloadSecretKeys: keyring.reload,
    ofUser: (name) => callFor(name, 'ofUser', () => sessionsOfUser(name, context)),
    revoke: (name, handle, request) => callFor(name, 'revoke', async () => {
      const key = await endSessionOfUser(name, handle, context)
      if (key !== null) emitter.emit('revoked', key, name, request)
      return key !== null
    }),
    revokeUser: (name) => callFor(name, 'revokeUser', () => endSessionsOfUser(name, store, (key) => { emitter.emit('revoked', key, name) })),
    on (event, listener) {
      if (!EVENTS.includes(event)) throw new UnsupportedError(`the event ${inspect(event)}`, `the events of app.sessions are ${EVENTS.join(', ')}`)
      emitter.events.on(event, listener as never)
    },
    off: (event, listener) => { emitter.events.off(event, listener as never) }
  }
}
