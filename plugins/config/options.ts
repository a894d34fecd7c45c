import type { Authenticate } from '../accounts/authenticator.js'
import type { SessionStore } from '../store/sessions.js'
import type { RouteName } from './route-names.js'

/** A number, or its digits as text. */
type Digits = number | `${number}`
type Flag = boolean | 'true' | 'false'
/** As people write it, and as Flask does. */
type Spellings<T extends string> = T | Uppercase<T> | Capitalize<T>
type SameSite = Spellings<'lax' | 'strict'>

/**
 * Every option, with no rule about which belong together: {@link HatcheckOptions} has these. The service reads the same from
 * the environment, under the same names in capitals: `secretKey` is `SECRET_KEY`.
 */
export interface EveryOption {
  /**
   * Signs the session cookies: at least 32 bytes of randomness. `npx hatcheck secret` prints one. Required, unless
   * {@link secretKeyFile} is given. The service makes its own when it listens on loopback, and keeps it in `dataDir`.
   */
  secretKey?: string | Uint8Array | undefined
  /**
   * A file with the secret keys in it, as an alternative to {@link secretKey}: one a line, the first signs, all verify. A
   * change of the file is seen within two seconds.
   * @default none
   */
  secretKeyFile?: string | undefined
  /**
   * Former secret keys, as a list or separated by commas: cookies signed with one are accepted, and signed anew with
   * the current key, so that nobody is logged out.
   * @default none
   */
  secretKeyFallbacks?: string | ReadonlyArray<string | Uint8Array> | undefined
  /**
   * Where sessions and accounts are kept: `memory:`, `lmdb:` (in {@link dataDir}), `lmdb:./some/folder`, Redis or Valkey,
   * or an object that keeps the contract of `SessionStore`.
   *
   * - `redis://[user:password@]host[:6379][/database]`: one server
   * - `redis+unix:///path/of/the/socket`: the same over a socket
   * - `redis+cluster://[user:password@]host[:6379],host[:6379],…`: a cluster, by some of its nodes
   * - `redis+sentinel://[user:password@]sentinel[:26379],…/name-of-the-primary[/database]`: the primary that Sentinel names
   *
   * With `rediss` instead of `redis` over TLS; the certificate is always checked. An authority of your own is named to
   * Node in `NODE_EXTRA_CA_CERTS`. Redis copies to its replicas after it has answered: a failover may lose the last
   * moments, logouts among them.
   * @default 'lmdb:'
   */
  sessionStore?: string | SessionStore | undefined
  /**
   * The folder of the LMDB files and of the generated key.
   * @default './data'
   */
  dataDir?: string | undefined
  /**
   * Names what this registration shares with others that use the same store: registrations of one realm share their
   * sessions and their failed logins, those of different realms share neither. Accounts belong to the store and not to a
   * realm. 1 to 64 characters: letters, digits, `.`, `_`, `-`. Another realm ends every session that exists.
   * @default the name of the session cookie without `__Host-` or `__Secure-`
   */
  realm?: string | undefined
  /** @default '__Host-hatcheck' or '__Secure-hatcheck' where the browser can hold the cookie to that prefix, else 'hatcheck' */
  sessionCookieName?: string | undefined
  /**
   * The domain whose hosts all get the cookie.
   * @default none: only the host that set it
   */
  sessionCookieDomain?: string | undefined
  /** @default '/' */
  sessionCookiePath?: string | undefined
  /**
   * Whether the cookie travels over https only. `'auto'`: as the connection is.
   *
   * A login is refused with a clear 400 where the cookie is Secure and the connection is http, since the browser would drop the
   * cookie. With `'auto'` it is also refused where the request came through a proxy that does not say how the user is connected,
   * or that Fastify does not trust (`trustProxy`): the site may be on https.
   * @default true; for a loopback host name `'auto'`. The service with a `HOST` beyond loopback: true
   */
  sessionCookieSecure?: Flag | 'auto' | undefined
  /**
   * `lax`, `strict` or `none`. `none` needs a Secure cookie.
   * @default 'lax'
   */
  sessionCookieSamesite?: SameSite | Spellings<'none'> | undefined
  /**
   * Keeps the cookie apart for each site that embeds this one (CHIPS). Needs a Secure cookie.
   * @default false
   */
  sessionCookiePartitioned?: Flag | undefined
  /**
   * Seconds without activity after which a session ends. Must not be longer than {@link sessionLifetime}.
   * @default 3600, or the lifetime if that is set to less
   */
  sessionIdleTimeout?: Digits | undefined
  /**
   * Seconds after which a session ends in any case.
   * @default 86400, or the idle timeout if that is set to more
   */
  sessionLifetime?: Digits | undefined
  /**
   * {@link sessionIdleTimeout} of permanent sessions ("keep me signed in"), in seconds.
   * @default 1209600, or {@link permanentSessionLifetime} if that is set to less
   */
  permanentSessionIdleTimeout?: Digits | undefined
  /**
   * {@link sessionLifetime} of permanent sessions, in seconds. Source of the limit: NIST SP 800-63B-4, AAL1.
   * @default 2592000, or {@link permanentSessionIdleTimeout} if that is set to more
   */
  permanentSessionLifetime?: Digits | undefined
  /**
   * Bytes of JSON that the data of one session may take. More is a typed error, and the stored session is unchanged.
   * @default 16384
   */
  sessionMaxBytes?: Digits | undefined
  /**
   * Live sessions that one user may have, at most 10,000. A login over it ends the oldest first.
   * @default 100
   */
  sessionsPerUser?: Digits | undefined
  /**
   * Whether a visitor who is not logged in may have a session. With `false`, a value that is set without a login is an
   * error (`HATCHECK_ANONYMOUS_SESSION`, 401), and nothing is stored. Values that are set before a login in the same request
   * go along with it.
   * @default true
   */
  anonymousSessions?: Flag | undefined
  /**
   * Sessions that may begin without a login, per minute, network (a /24 of IPv4, a /56 of IPv6) and process. One more is an
   * error (`HATCHECK_TOO_MANY_SESSIONS`, 429 with Retry-After). Has no meaning without {@link anonymousSessions}.
   * @default no limit; the service: 300
   */
  anonymousSessionsPerMinute?: Digits | undefined
  /**
   * `open`: signing in with a new name creates the account. `closed`: accounts come from `hatcheck user add`.
   * @default 'closed'; in demo mode 'open'
   */
  signup?: 'open' | 'closed' | undefined
  /**
   * Characters that a new password must have; below 8 is refused. Outside demo mode it must not be a common one either.
   * Source: NIST SP 800-63B-4.
   * @default 15; in demo mode 8
   */
  passwordMinLength?: Digits | undefined
  /**
   * Other origins (`https://app.example.com`) that a login may lead on to and that may send requests here, as a list or
   * separated by commas.
   * @default none
   */
  allowedOrigins?: string | readonly string[] | undefined
  /** Decides who may log in. With it, hatcheck keeps no accounts of its own, and {@link signup} has no meaning. */
  authenticate?: Authenticate | undefined
  /**
   * Which of hatcheck's pages to serve: none (`false`), all (`true`), or those in a list.
   *
   * - `home`: the start page. Without a {@link prefix}, `true` leaves it out: `GET /` is the application's
   * - `login`, `logout`, `sessions`
   * - `password`: only with accounts of hatcheck's own
   * - `verify`: forward auth, for a proxy
   * @default false
   */
  routes?: boolean | readonly RouteName[] | undefined
  /**
   * The path under which the pages are, such as `/auth`, within the scope in which hatcheck is registered.
   * @default none
   */
  prefix?: string | undefined
  /**
   * The time in ms since the epoch, for tests.
   * @default the machine's clock, kept from going back
   */
  now?: (() => number) | undefined
}

/** The key, or the file that it is in. The value may be undefined, as in an environment; then the start is refused. */
type KeyOptions =
  { secretKey: EveryOption['secretKey'], secretKeyFile?: undefined } |
  { secretKey?: undefined, secretKeyFile: EveryOption['secretKeyFile'] }

/** Users of the application, or accounts of hatcheck's own. */
type UserOptions =
  { authenticate: Authenticate, signup?: undefined } |
  { authenticate?: undefined, signup?: EveryOption['signup'] }

/** `none` and `partitioned` need a Secure cookie: browsers drop any other. */
type CookieOptions =
  { sessionCookieSecure?: EveryOption['sessionCookieSecure'], sessionCookieSamesite?: SameSite | undefined, sessionCookiePartitioned?: false | 'false' | undefined } |
  { sessionCookieSecure: true | 'true', sessionCookieSamesite?: EveryOption['sessionCookieSamesite'], sessionCookiePartitioned?: Flag | undefined }

type Tied = 'secretKey' | 'secretKeyFile' | 'authenticate' | 'signup' | 'sessionCookieSecure' | 'sessionCookieSamesite' | 'sessionCookiePartitioned'

/** The options of the plugin. See {@link EveryOption} for what each means. */
export type HatcheckOptions = Omit<EveryOption, Tied> & KeyOptions & UserOptions & CookieOptions

/** Options that are not checked yet, as they come from an environment. */
export type GivenOptions = { [K in keyof EveryOption]?: EveryOption[K] | (K extends CodeOnly ? never : string) | undefined }

type CodeOnly = 'authenticate' | 'routes' | 'now'
