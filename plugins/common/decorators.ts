import { assertRule, shown } from './rule.js'

/** Every name that hatcheck takes in an application, and on what. `session`, `loadSession` and `sessions` have no other name. */
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
export type Owner = 'request' | 'instance'

export const FORM = "an object of names, such as { user: 'account', login: false }; false leaves a name out"

/** The names that are taken: false where a decoration is left out. */
export type Names = Record<Decoration, string | false>

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

/** What the option `decorators` must say, by the names that TypeScript knows. */
export type DecoratorsOption =
  { readonly [K in keyof Decorators]: K extends Decoration ? Decorators[K] : never } &
  { readonly [K in Exclude<Decoration, keyof Decorators>]?: K | undefined }

/** What hatcheck uses itself, under one name in every application. */
const FIXED = { request: ['session', 'loadSession'], instance: ['sessions', 'hatcheck'] } as const

/**
 * Fills in the default names.
 *
 * @throws ConfigError
 */
export function decoratorsOf (given: unknown = {}): Names {
  const rule = `decorators must be ${FORM}`
  assertRule(typeof given === 'object' && given !== null && !Array.isArray(given), `${rule}; got ${shown(given)}.`)
  const chosen = Object.entries(given).filter(([, name]) => name !== undefined)
  for (const [decoration, name] of chosen) {
    assertRule(Object.hasOwn(DECORATIONS, decoration), `${rule}; there is no ${shown(decoration)} among ${Object.keys(DECORATIONS).join(', ')}.`)
    assertRule(name === false || (typeof name === 'string' && /^[A-Za-z_$][\w$]*$/.test(name)), `${rule}; got ${shown(name)} for ${decoration}.`)
  }
  const names = { ...Object.fromEntries(Object.keys(DECORATIONS).map((decoration) => [decoration, decoration])), ...Object.fromEntries(chosen) } as Names
  for (const owner of ['request', 'instance'] as const) {
    const taken = new Set<string | false>(FIXED[owner])
    for (const decoration of decorationsOf(owner)) {
      const name = names[decoration]
      assertRule(name === false || !taken.has(name), `decorators must have different names for what is on one ${owner}; ${shown(name)} is there twice.`)
      taken.add(name)
    }
  }
  return names
}

export function decorationsOf (owner: Owner): Decoration[] {
  return (Object.keys(DECORATIONS) as Decoration[]).filter((decoration) => DECORATIONS[decoration] === owner)
}
