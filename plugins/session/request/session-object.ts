import type { Session as Data } from 'fastify'
import type { CookieDescription } from '../cookie/cookie.js'

/** Is called when a method of a session has ended, in place of a promise, as `@fastify/session` does. The error is undefined after a success. */
export type SessionCallback = (error?: unknown) => void

/** What a handler sees as `request.session`: the values as properties, and the methods. */
export interface SessionObject extends Data, SessionMembers<Data> {}

/** The same, where the values are those of a schema as well. */
export type TypedSession<V> = V & SessionMembers<V>

/**
 * The methods of a session with the values `V`. Those that read a value throw SessionCommittedError (500) if the response has begun,
 * and nothing has read the session before; those that change one throw it once the response has left.
 */
interface SessionMembers<V> {
  /** Returns a value; undefined if the key has none. @throws SessionKeyError (500) if the key is not a string. */
  get<K extends keyof V> (key: K): V[K] | undefined
  /** Sets a value; undefined deletes the key. @throws SessionKeyError, SessionValueError, SessionSchemaError (500); with `sessionSchema` SessionTooLargeError (413) */
  set<K extends keyof V> (key: K, value: V[K] | undefined): void
  /** Tells whether the key has a value. @throws SessionKeyError (500) if the key is not a string. */
  has (key: string): boolean
  /**
   * Removes the value and returns it. Without a value it returns `fallback`, or undefined.
   *
   * @throws SessionKeyError (500) if the key is not a string.
   */
  pop<K extends keyof V> (key: K): V[K] | undefined
  pop<K extends keyof V, D> (key: K, fallback: D): Exclude<V[K], undefined> | D
  /** Sets several values; sets none if one of them is refused. @throws what setting each of them throws. */
  update (values: { [K in keyof V]?: V[K] | undefined }): void
  /** Deletes every key, and so logs the user out. */
  clear (): void
  /** Returns the keys that have a value. */
  keys (): string[]
  /**
   * Selects the longer pair of lifetimes and a cookie that outlives the browser ("keep me signed in").
   *
   * @throws SessionValueError (500) if it is set to something other than a boolean.
   */
  permanent: boolean
  /**
   * Names the session in the log, in events and in `app.sessions`, and grants no access; undefined while the session is not stored.
   * A new ID changes it.
   */
  readonly handle: string | undefined
  /** The ID that the session has, or will have once it is stored. Do not log it. */
  readonly sessionId: string
  /**
   * The ticket: the value of the session cookie. Do not log it.
   *
   * @throws UnsupportedError (500) if the session is in a cookie and not stored yet.
   */
  readonly encryptedSessionId: string
  /** The session cookie as it is sent. */
  readonly cookie: CookieDescription
  /** Records activity with this response, even if it was recorded a moment ago. */
  touch (): void
  /**
   * Tells whether there are changes that are not stored yet.
   *
   * @throws SessionValueError (500) if an object was changed into something that is not JSON.
   */
  isModified (): boolean
  /** Tells whether the session is in the store. */
  isSaved (): boolean
  /**
   * Gives the session a new ID, with the values of these keys; the old ID is dead when this resolves. A session that is
   * not stored yet only drops its other values.
   *
   * @default no keys
   * @throws SessionGoneError (409) if the session has ended in the meantime.
   * @throws SessionKeyError (500) if `keys` is not a list of strings.
   * @throws SessionValueError, SessionSchemaError (500) if a value set before cannot be stored.
   * @throws FlaskUserError, FlaskDepthError (500) with the store `flask:`.
   * @throws SessionTooLargeError (413), AnonymousSessionError (401)
   * @throws InsecureTransportError, CookieDomainError (400) if the connection cannot carry the session cookie.
   * @throws NoCookieError (500) if the headers of the response have left.
   * @throws LogoutUnconfirmedError (503) if the keys leave out the user, and the end of another session that the request presents
   *   cannot be stored.
   * @throws StoreUnavailableError (503)
   */
  regenerate (keys?: readonly string[]): Promise<void>
  regenerate (callback: SessionCallback): void
  regenerate (keys: readonly string[], callback: SessionCallback): void
  /**
   * Ends this session and every other session that the request presents a ticket of, for good. Values that are set
   * afterwards begin a new session.
   *
   * @throws LogoutUnconfirmedError (503) if the end cannot be stored; the tickets are refused until it is.
   * @throws NoCookieError (500) with `sessionRevocation: 'none'`, if the headers of the response have left: the cookie cannot be removed then.
   */
  destroy (): Promise<void>
  destroy (callback: SessionCallback): void
  /**
   * Stores the changes now. A new visitor gets the cookie with the headers of the response.
   *
   * @throws SessionGoneError (409) if the session has ended in the meantime.
   * @throws SessionValueError, SessionSchemaError (500) if a value cannot be stored.
   * @throws FlaskUserError, FlaskDepthError (500) with the store `flask:`.
   * @throws SessionTooLargeError (413), AnonymousSessionError (401), TooManySessionsError (429)
   * @throws InsecureTransportError, CookieDomainError (400) if the connection cannot carry the session cookie.
   * @throws NoCookieError (500) if the cookie changes and the headers of the response have left; nothing is stored.
   * @throws LogoutUnconfirmedError (503) if the user was removed, and the end of another session that the request presents cannot be
   *   stored.
   * @throws StoreUnavailableError (503)
   */
  save (): Promise<void>
  save (callback: SessionCallback): void
  /** Drops the changes that are not stored, and reads the session again. @throws StoreUnavailableError (503) */
  reload (): Promise<void>
  reload (callback: SessionCallback): void
}
