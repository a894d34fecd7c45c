import { LONGEST_LIFE_MS } from '../common/lifetimes.js'
import { DECORATORS_FORM } from './decorators.js'
import { LOGIN_OPTIONS } from './login-options.js'
import { PAGE_OPTIONS } from './page-options.js'
import { ROUTE_NAMES } from './route-names.js'
import type { Row } from './row.js'

// Everything about an option comes from its row: the types, the checks and their texts, the environment variable, the help of
// the command line, and docs/options.md. Editors show the JSDoc; its first paragraph and its tags also go into
// docs/options.md.

const seconds = { type: 'integer', unit: 'seconds', minimum: 1, maximum: LONGEST_LIFE_MS / 1_000 } as const

/** The options of sessions: of `hatcheck/session`, and of everything that has sessions. */
export const SESSION_OPTIONS = {
  /**
   * Signs the session cookies. Either this or `secretKeyFile` is required. `npx hatcheck secret` prints a key.
   * @default none; a service on loopback generates one and keeps it in `dataDir`
   */
  secretKey: { type: 'key', form: 'at least 32 random bytes', help: 'key that signs the cookies, 32 bytes or more; generated in DATA_DIR if HOST is loopback' },
  /**
   * A file with the secret keys, one per line: the first signs, all verify. A line that begins with `#` is a
   * comment. hatcheck sees a changed file within two seconds.
   * @default none
   */
  secretKeyFile: { type: 'text', form: 'the path of a file', help: 'file with the keys, one per line, in place of SECRET_KEY' },
  /**
   * Former secret keys. hatcheck accepts their tickets and signs the cookie again with the current key, so that nobody is
   * logged out.
   * @default none
   */
  secretKeyFallbacks: { type: 'keys', form: 'keys, as a list or separated by commas' },
  /**
   * Where sessions and accounts are kept. `lmdb:` is a folder in `dataDir`. An application can also pass a store of its own.
   *
   * - `cookie:lmdb:./folder`, `cookie:redis://…`, or `cookie:` for `cookie:lmdb:`: the cookie carries the values, encrypted;
   *   the store after `cookie:` keeps the accounts and remembers which sessions have ended
   * - `flask:lmdb:./folder`, `flask:redis://…`, or `flask:` for `flask:lmdb:`: the session is the cookie of a Flask application with
   *   the same secret key, signed and readable; needs `sessionRevocation: 'none'`, since a logout is not final
   * - `redis://[user:password@]host[:6379][/database]`: one server of Redis or Valkey
   * - `redis+unix:///path/of/the/socket`: the same over a socket
   * - `redis+cluster://[user:password@]host[:6379],host[:6379],…`: a cluster, by some of its nodes
   * - `redis+sentinel://[user:password@]sentinel[:26379],…/name-of-the-primary[/database]`: the primary that Sentinel names
   *
   * With `rediss` instead of `redis`, hatcheck uses TLS and always checks the certificate; `NODE_EXTRA_CA_CERTS` names an
   * authority of your own to Node. Redis copies to its replicas after it has answered: a failover can lose the changes of the
   * last moments, logouts included.
   * @default `lmdb:`
   * @see `docs/redis.md`
   * @see `docs/stores.md#writing-a-store`
   * @see `docs/from-flask.md#moving-route-by-route`
   */
  sessionStore: { type: 'store', form: 'memory:, lmdb:, lmdb:./folder, redis://…, cookie:, flask: or a session store', default: 'lmdb:', help: 'store of sessions and accounts: memory:, lmdb: (in DATA_DIR), redis://…, cookie: or flask:' },
  /**
   * `none`: hatcheck does not check whether a session has ended; only with `sessionStore: 'cookie:'` or `'flask:'`. A copy of
   * a cookie then stays logged in after a logout, a new password and the end of all sessions, until it expires.
   * @default `store`
   * @see `docs/stores.md#sessions-in-cookies`
   */
  sessionRevocation: { type: 'word', words: ['store', 'none'], default: 'store' },
  /**
   * The folder of the LMDB files and of the generated key.
   * @default `./data`
   */
  dataDir: { type: 'text', form: 'the path of a folder', default: './data', help: 'folder of the LMDB files and the generated key' },
  /**
   * Registrations of one realm on one store share their sessions and their failed logins; those of different realms share
   * neither. Accounts belong to the store: a new password or a disabled account ends the sessions of every realm that has no
   * `authenticate`. A new realm ends every existing session.
   * @default the name of the session cookie without `__Host-` or `__Secure-`
   */
  realm: { type: 'text', pattern: /^[A-Za-z0-9._-]{1,64}$/, form: '1 to 64 letters, digits, dots, underscores or hyphens (A-Z a-z 0-9 . _ -)' },
  /**
   * The name of the session cookie. Browsers hold a cookie to its prefix: `__Host-` needs `Secure`, the path `/` and no
   * domain; `__Secure-` needs `Secure`.
   * @default `hatcheck`, with the strictest prefix that the other options allow
   */
  sessionCookieName: { type: 'text', pattern: /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, form: "a cookie name: at most 128 letters, digits and characters of !#$%&'*+-.^_`|~" },
  /**
   * Former names of the session cookie, each with its prefix: a browser that has one gets the cookie under the current name, and
   * its user stays logged in. Set `realm` as well, unless the names differ in their prefix only.
   * @default none
   * @see `docs/session.md#renaming-the-cookie`
   */
  formerCookieNames: { type: 'names', form: 'cookie names, as a list or separated by commas' },
  /**
   * Live sessions of express-session or `@fastify/session` that continue as sessions of hatcheck, so that nobody is logged out.
   * @default none
   * @see `docs/from-express-session.md#moving-live-sessions`
   */
  adopt: { type: 'adopt', form: 'a list of { cookie, secret, store, user }', only: 'plugin' },
  /**
   * A domain of your own, all of whose hosts get the cookie. A login at another host is a 400. A public suffix such as `com`
   * or `co.uk` is refused.
   * @default none: only the host that set the cookie
   */
  sessionCookieDomain: { type: 'text', pattern: /^\.?[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?(?:\.[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*$/, form: 'a domain such as example.com' },
  /**
   * The path of the session cookie. If it does not cover the pages of hatcheck, a logout there ends nothing, and the log warns
   * at the start.
   * @default `/`
   */
  sessionCookiePath: { type: 'text', pattern: /^\/[!-:<-~]*$/, form: 'a path such as /app', default: '/' },
  /**
   * Whether the cookie travels over https only. `auto` follows the connection. A request through a proxy that is not trusted
   * counts as https.
   *
   * A login is refused with a clear 400 where the cookie is Secure and the connection is http, since the browser would drop the
   * cookie. With `auto` it is also refused where the request came through a proxy that does not say how the user is connected,
   * or that Fastify does not trust (`trustProxy`): the site may be on https.
   * @default `auto` for a loopback host name, else `true`. A service that listens beyond loopback: `true`
   */
  sessionCookieSecure: { type: 'word', words: ['true', 'false', 'auto'] },
  // Any letter case, because Flask and most documentation write `Lax`.
  /**
   * The SameSite attribute of the cookie. `none` needs a Secure cookie.
   * @default `lax`
   */
  sessionCookieSamesite: { type: 'word', words: ['lax', 'strict', 'none'], anyCase: true, default: 'lax' },
  /**
   * Whether the browser keeps a separate cookie for each site that embeds this one (CHIPS). Needs a Secure cookie.
   * @default `false`
   */
  sessionCookiePartitioned: { type: 'flag', default: false },
  /**
   * Seconds without activity after which a session ends. Must not be longer than `sessionLifetime`.
   * @default `3600`, or the lifetime if that is set to less
   */
  sessionIdleTimeout: { ...seconds, default: 3_600 },
  /**
   * Seconds after which a session ends in any case.
   * @default `86400`, or the idle timeout if that is set to more
   */
  sessionLifetime: { ...seconds, default: 86_400 },
  /**
   * The idle timeout of permanent sessions ("keep me signed in").
   * @default `1209600`, or the lifetime if that is set to less
   */
  permanentSessionIdleTimeout: { ...seconds, default: 1_209_600 },
  /**
   * The lifetime of permanent sessions. Source of the limit: NIST SP 800-63B-4, AAL1.
   *
   * With `sessionStore: 'flask:'`, how long every session lives after the last signature of its cookie.
   * @default `2592000`, or the idle timeout if that is set to more; with `flask:`, `2678400` as in Flask
   */
  permanentSessionLifetime: { ...seconds, default: 2_592_000 },
  /**
   * The maximum size of the values of one session, as JSON. More is an error (`HATCHECK_SESSION_TOO_LARGE`), and the stored session is unchanged.
   * A login adds the name of the user and a description of the client to the values, so it is such an error in a session that is nearly full.
   * @default `16384`
   */
  sessionMaxBytes: { type: 'integer', unit: 'bytes', minimum: 256, maximum: 1_048_576, default: 16_384 },
  /**
   * The number of sessions that one user can have at a time. A login over the limit ends the oldest.
   * @default `100`
   */
  sessionsPerUser: { type: 'integer', unit: 'sessions', minimum: 1, maximum: 10_000, default: 100 },
  /**
   * Whether a visitor can have a session without a login. With `false`, setting a value without a login is an error
   * (`HATCHECK_ANONYMOUS_SESSION`, 401), and nothing is stored; a handler that removes `client_name` ends the session with all values.
   *
   * Values that are set before a login in the same request are kept.
   * @default `true`
   */
  anonymousSessions: { type: 'flag', default: true },
  // Far more than visitors behind one address begin, and little for a disk: sessions of strangers end after an hour.
  /**
   * The number of sessions that can begin without a login, per minute, process and network (a /24 of IPv4, a /56 of IPv6). One
   * more is an error (`HATCHECK_TOO_MANY_SESSIONS`, 429 with Retry-After). Must not be set with `anonymousSessions: false`.
   * @default no limit; service: `300`
   */
  anonymousSessionsPerMinute: { type: 'integer', unit: 'sessions', minimum: 1, maximum: 1_000_000, service: 300 },
  /**
   * The values that a session can have: a schema of zod, valibot, ArkType or another library with Standard Schema. A value that
   * does not fit is an error (`HATCHECK_SESSION_VALUE`), and nothing is stored.
   *
   * The schema must have no asynchronous checks. Handlers do not see a stored value that does not fit.
   * @default any JSON
   * @see `docs/session.md#types-and-schemas`
   */
  sessionSchema: { type: 'schema', form: 'a schema that implements Standard Schema', only: 'plugin' },
  /**
   * The clock, for tests.
   * @default the machine's clock, guarded against being set back
   * @see `docs/testing.md`
   */
  now: { type: 'clock', form: 'a function that returns the time in ms since the epoch', only: 'plugin' }
} as const satisfies Record<string, Row>

/** The options of hatcheck: of the plugin, of the service, or of both. */
export const OPTIONS = {
  ...SESSION_OPTIONS,
  /**
   * A file with the URL of the store, instead of `SESSION_STORE`: it keeps a password in the URL out of the environment.
   * @default none
   */
  sessionStoreFile: { type: 'text', form: 'the path of a file', only: 'service' },
  /**
   * `open`: a login with a new name creates the account. `closed`: accounts come from `hatcheck user add`.
   * @default `closed`; demo mode: `open`
   */
  signup: { type: 'word', words: ['open', 'closed'], default: 'closed', demo: 'open', help: 'whether a login with a new name creates the account' },
  /**
   * The minimum length of a new password. Outside demo mode, common passwords are refused as well. Source: NIST SP 800-63B-4.
   * @default `15`; demo mode: `8`
   * @see `docs/accounts.md#passwords`
   */
  passwordMinLength: { type: 'integer', unit: 'characters', minimum: 8, maximum: 256, default: 15, demo: 8 },
  /**
   * Other origins, as a list or separated by commas. A login's `next` can lead to them, and they can send requests to
   * hatcheck. `https://*.example.com` is every host below `example.com`.
   * @default none
   */
  allowedOrigins: { type: 'origins', form: 'origins such as https://app.example.com, without a path' },
  /**
   * Strict-Transport-Security over https, for a year: none (`off`), for this host (`host`), or for its subdomains as well.
   * An application sets its own header.
   * @default `subdomains`
   */
  hsts: { type: 'word', words: ['off', 'host', 'subdomains'], default: 'subdomains', only: 'service' },
  /**
   * Decides who can log in. hatcheck then keeps no accounts, and `signup` must not be set.
   * @default hatcheck's own accounts
   * @see `docs/accounts.md#users-of-your-own`
   */
  authenticate: { type: 'authenticate', form: 'a function: (name, password, request) => { name } or null', only: 'plugin' },
  /**
   * The pages that hatcheck serves. Without a `prefix`, `true` leaves `home` to the application.
   *
   * - `home`: the start page
   * - `login`, `logout`, `sessions`
   * - `password`: only with accounts of hatcheck's own
   * - `verify`: forward auth, for a proxy
   * @default `false`
   */
  routes: { type: 'routes', form: `true, false or a list of ${ROUTE_NAMES.join(', ')}`, only: 'plugin' },
  /**
   * The path of the pages, within the scope in which hatcheck is registered. Neither it nor the path of the scope can have
   * parameters, or the links of the pages lead nowhere.
   * @default none
   */
  prefix: { type: 'text', pattern: /^(\/[^/?#\s]+)*$/, form: 'a path such as /auth, without a slash at the end', default: '', only: 'plugin' },
  ...LOGIN_OPTIONS,
  ...PAGE_OPTIONS,
  /**
   * Other names for what hatcheck adds to requests and to the instance, such as `user` and `login`. `false` leaves one out.
   *
   * The names are `user`, `requireUser`, `authenticate`, `login`, `logout`, `flash`, `flashes`, `requireLogin` and `accounts`.
   * TypeScript learns them from `interface Decorators`.
   * @default the names as they are
   * @see `docs/other-plugins.md`
   */
  decorators: { type: 'decorators', form: DECORATORS_FORM, only: 'plugin' }
} as const satisfies Record<string, Row>
