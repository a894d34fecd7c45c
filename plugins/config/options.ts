import type { Only, Spellings, Written } from './row.js'
import type { OPTIONS } from './table.js'

type Table = typeof OPTIONS

/** The types of the options that a caller can write. Keeps the JSDoc of the table, as `K extends keyof T` does. */
type Some<T, K extends keyof T> = { -readonly [P in K]?: Written<T[P]> | undefined }

/** Every option of the plugin, with no rule about which belong together. */
type EveryOption = Some<Table, Exclude<keyof Table, Only<Table, 'service'>>>

/** The key, or the file that it is in. The value may be undefined, as in an environment; then the start is refused. */
type KeyRule =
  { secretKey: unknown, secretKeyFile?: undefined } |
  { secretKey?: undefined, secretKeyFile: unknown }

/** Users of the application, or accounts of hatcheck's own. */
type UserRule =
  { authenticate: unknown, signup?: undefined } |
  { authenticate?: undefined }

/** `none` and `partitioned` need a Secure cookie: browsers drop any other. */
type CookieRule =
  { sessionCookieSamesite?: Spellings<'lax' | 'strict'> | undefined, sessionCookiePartitioned?: false | 'false' | undefined } |
  { sessionCookieSecure: true | 'true' }

/** A limit of anonymous sessions has no meaning where there are none. */
type AnonymousRule =
  { anonymousSessions?: true | 'true' | undefined } |
  { anonymousSessionsPerMinute?: undefined }

/** The options of the plugin. The service reads the same from the environment: `secretKey` is `SECRET_KEY`. */
export type HatcheckOptions = EveryOption & KeyRule & UserRule & CookieRule & AnonymousRule

/** Options that are not checked yet, as they come from an environment. */
export type GivenOptions = { [K in keyof EveryOption]?: EveryOption[K] | (K extends Only<Table, 'plugin'> ? never : string) | undefined }

/** Options of the service that are not checked yet: a host application decides them itself. */
export type ServiceOnlyOptions = { [K in Only<Table, 'service'>]?: string | undefined }
