import type { Authenticate } from '../accounts/authenticator.js'
import type { Decorators, DecoratorsOption } from '../common/decorators.js'
import type { Only, Written } from './row.js'
import type { OPTIONS, SESSION_OPTIONS } from './table.js'

// Editors find the JSDoc of a row only through a mapped type over `K extends keyof T`, with a `T` that is a parameter.

type Table = typeof OPTIONS

/** Options that can be left out. `V` narrows what can be written. */
type Maybe<K extends keyof T, V = unknown, T = Table> = { -readonly [P in K]?: (Written<T[P]> & V) | undefined }

/** Options that must be there. */
type Needed<K extends keyof T, V = unknown, T = Table> = { -readonly [P in K]: V & (Written<T[P]> | undefined) }

/** Options that have no meaning beside the others. */
type Without<K extends keyof Table> = Maybe<K, never>

type PluginOption = Exclude<keyof Table, Only<Table, 'service'>>

/** The key, or the file that it is in. Either can be undefined, as in an environment; then the start is refused. */
type KeyOptions =
  Needed<'secretKeyFile'> & Without<'secretKey'> |
  Needed<'secretKey'> & Without<'secretKeyFile'>

/** Options that must be there, with another type than that of the table. */
type NeededAs<K extends keyof T, V, T = Table> = { -readonly [P in K]: V | undefined }

/** Users of the application, or accounts of hatcheck's own. The values of a user are those of a schema, or of `interface Session`. */
type UserOptions =
  Maybe<'signup' | 'sessionSchema'> & Without<'authenticate'> |
  NeededAs<'authenticate', Authenticate<SchemaData>> & Needed<'sessionSchema'> & Without<'signup'> |
  NeededAs<'authenticate', Authenticate> & Without<'signup' | 'sessionSchema'>

/** hatcheck checks them by the schema. */
type SchemaData = Record<string, any>

/** `none` and `partitioned` need a Secure cookie: browsers drop any other. */
type CookieOptions =
  Needed<'sessionCookieSecure', true | 'true'> & Maybe<'sessionCookieSamesite' | 'sessionCookiePartitioned'> |
  Maybe<'sessionCookieSecure'> & Maybe<'sessionCookieSamesite', Written<{ words: readonly ['lax', 'strict'], anyCase: true }>> & Maybe<'sessionCookiePartitioned', false | 'false'>

/** A limit of anonymous sessions has no meaning where there are none. */
type AnonymousOptions =
  Maybe<'anonymousSessions'> & Without<'anonymousSessionsPerMinute'> |
  Maybe<'anonymousSessions', true | 'true'> & Maybe<'anonymousSessionsPerMinute'>

/** Without revocation, a logout is not final: for sessions in cookies only, and always so in those of Flask. */
type RevocationOptions =
  Needed<'sessionStore', `flask:${string}`> & Needed<'sessionRevocation', 'none'> |
  Needed<'sessionStore', `cookie:${string}`> & Maybe<'sessionRevocation'> |
  Maybe<'sessionStore'> & Maybe<'sessionRevocation', 'store'>

/** The names that TypeScript knows must be those that are there. */
type NameOptions = keyof Decorators extends never ? Maybe<'decorators', DecoratorsOption> : Needed<'decorators', DecoratorsOption>

type TiedSessionOptions = KeyOptions & CookieOptions & AnonymousOptions & RevocationOptions
type TiedOptions = TiedSessionOptions & UserOptions & NameOptions

/** The options of `hatcheck/session`. */
export type SessionOptions = Maybe<Exclude<keyof typeof SESSION_OPTIONS, keyof TiedSessionOptions>> & TiedSessionOptions

/** The options of the plugin. The service reads the same from the environment: `secretKey` is `SECRET_KEY`. */
export type HatcheckOptions = Maybe<Exclude<PluginOption, keyof TiedOptions>> & TiedOptions

/** Options that are not checked yet, as they come from an environment. */
export type GivenOptions = { -readonly [K in PluginOption]?: Written<Table[K]> | (K extends Only<Table, 'plugin'> ? never : string) | undefined }

/** Options of the service that are not checked yet: an application that registers the plugin decides them itself. */
export type ServiceOnlyOptions = { [K in Only<Table, 'service'>]?: string | undefined }
