/** Decorations that hatcheck itself uses, under one name in every application. */
export const FIXED_NAMES = { request: ['session', 'loadSession'], instance: ['sessions', 'hatcheck'] } as const

/** Every other name that hatcheck takes in an application, and on what. */
export const DECORATIONS = {
  user: 'request',
  requireUser: 'request',
  authenticate: 'request',
  login: 'request',
  logout: 'request',
  flash: 'request',
  flashes: 'request',
  requireLogin: 'instance',
  accounts: 'instance'
} as const

export type Decoration = keyof typeof DECORATIONS

/**
 * The names that an application gives to what hatcheck adds to requests and instances, for TypeScript. The option
 * `decorators` must then say the same. `false` leaves a decoration out.
 *
 * @example
 * declare module 'hatcheck' {
 *   interface Decorators {
 *     user: 'sessionUser'
 *     login: false
 *   }
 * }
 */
export interface Decorators {}

/** The members of `T` under the names that an application has chosen for them. */
export type Decorated<T extends Partial<Record<Decoration, unknown>>> = Kept<T, Exclude<keyof T, keyof Decorators>> & Renamed<T>

// Two types, since editors lose the JSDoc of members whose names are mapped.
type Kept<T, K extends keyof T> = { [P in K]: T[P] }
type Renamed<T> = { [P in keyof T & keyof Decorators as Decorators[P] extends string ? Decorators[P] : never]: T[P] }

/** The value that the option `decorators` must have, by the names that TypeScript knows. */
export type DecoratorsOption =
  { readonly [K in keyof Decorators]: K extends Decoration ? Decorators[K] : never } &
  { readonly [K in Exclude<Decoration, keyof Decorators>]?: K | undefined }
