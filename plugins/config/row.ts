import type { Authenticate } from '../accounts/authenticator.js'
import type { Decoration } from '../common/decorators.js'
import type { StandardSchema } from '../common/standard-schema.js'
import type { SessionStore } from '../store/sessions.js'
import type { AdoptOptions } from './adopt.js'
import type { LanguageTag } from './language-tags.js'
import type { RouteName } from './route-names.js'

/** A number, or its digits as text. */
type Digits = number | `${number}`
type Flag = boolean | 'true' | 'false'

/** The values that a caller can write for an option that is neither a number, a flag nor a word. */
interface Forms {
  text: string
  key: string | Uint8Array
  keys: string | ReadonlyArray<string | Uint8Array>
  store: string | SessionStore
  names: string | readonly string[]
  adopt: readonly AdoptOptions[]
  origins: string | readonly string[]
  languages: string | readonly LanguageTag[]
  proxies: string
  authenticate: Authenticate
  routes: boolean | readonly RouteName[]
  decorators: Partial<Readonly<Record<Decoration, string | false>>>
  clock: () => number
  schema: StandardSchema
}

/** An option that one check can judge by itself. */
export type PlainRow =
  // Without a pattern, any text but the empty one.
  | { type: 'text', form: string, pattern?: RegExp, default?: string }
  | { type: 'word', words: readonly string[], anyCase?: true, default?: string, demo?: string }
  | { type: 'integer', unit?: string, minimum: number, maximum: number, default?: number, service?: number, demo?: number }
  | { type: 'flag', default?: boolean }

/** A row of the table of options. The default of the service and of demo mode stands in it where it is another one. */
export type Row = (PlainRow | { type: Exclude<keyof Forms, 'text'>, form: string, default?: string }) & {
  /** Whether the option exists in the plugin alone or in the service alone; without it, in both. */
  only?: 'plugin' | 'service'
  /** A few words for the help of the command line, which lists the variables that people set. */
  help?: string
}

/** The values that a caller can write for an option. With `anyCase`, a word is spelled as people write it, and as Flask does. */
export type Written<R> =
  R extends { type: 'integer' } ? Digits :
    R extends { type: 'flag' } ? Flag :
      R extends { words: ReadonlyArray<infer W extends string> } ? R extends { anyCase: true } ? W | Uppercase<W> | Capitalize<W> : W | Truth<W> :
        R extends { type: infer T extends keyof Forms } ? Forms[T] : never

/** The boolean of a word that is one. */
type Truth<W> = W extends 'true' ? true : W extends 'false' ? false : never

/** The value of the option once it is checked. */
type Read<R> =
  R extends { type: 'integer' } ? number :
    R extends { type: 'flag' } ? boolean :
      R extends { words: ReadonlyArray<infer W> } ? W : string

type PlainName<T> = { [K in keyof T]: T[K] extends PlainRow ? K : never }[keyof T]

/** The values of the plain options of a table: optional where there is no default. */
export type ValuesOf<T> =
  { [K in PlainName<T> as T[K] extends { default: unknown } ? K : never]: Read<T[K]> } &
  { [K in PlainName<T> as T[K] extends { default: unknown } ? never : K]?: Read<T[K]> }

/** The names of the options of a table that only the plugin has, or only the service. */
export type Only<T, S extends 'plugin' | 'service'> = { [K in keyof T]: T[K] extends { only: S } ? K : never }[keyof T]
