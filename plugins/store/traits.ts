import { StoreMethodMissingError } from './errors.js'
import type { SessionStore } from './sessions.js'

/** A part of the contract that a store may lack, and what does not work without it. */
const LOSSES = {
  ofUser: 'app.sessions.ofUser, app.sessions.revoke and the page "My sessions" fail',
  removeOfUser: 'app.sessions.revokeUser and the end of all other sessions fail',
  keepsLimit: 'a user may have more sessions than sessionsPerUser',
  take: 'request.flashes fails once a flash message is stored',
  successor: 'a logout while its session gets a new ID may fail to end the session',
  count: 'app.sessions.store.count fails',
  sweep: 'the store must drop expired sessions itself, and the event "expired" does not occur'
} as const

/** The name of an optional member of {@link SessionStore} that hatcheck uses. */
export type Trait = keyof typeof LOSSES

export const TRAITS: readonly Trait[] = Object.keys(LOSSES) as Trait[]

/** The methods that every store has. */
export const CORE = ['read', 'create', 'patch', 'touch', 'remove', 'replace', 'ping', 'close'] as const satisfies Array<keyof SessionStore>

/** The name of a method of {@link SessionStore}. */
export type StoreMethod = typeof CORE[number] | Exclude<Trait, 'keepsLimit'>

const METHODS: readonly StoreMethod[] = [...CORE, ...TRAITS.filter((trait) => trait !== 'keepsLimit')]

/** A method of a store, whichever it is. */
export type StoreCall = (...args: any[]) => any

/** A session store with every method. {@link withEveryTrait} makes one of any store. */
export type CompleteSessionStore = SessionStore & Required<Pick<SessionStore, StoreMethod>>

/** Tells whether a store has a trait. */
export function hasTrait (store: SessionStore, trait: Trait): boolean {
  return trait === 'keepsLimit' ? store.keepsLimit === true : typeof store[trait] === 'function'
}

/** Returns one line for each trait that the store lacks: what does not work without it. */
export function lossesOf (store: SessionStore): string[] {
  return TRAITS.filter((trait) => !hasTrait(store, trait)).map((trait) => `The session store has no ${trait}: ${LOSSES[trait]}.`)
}

/**
 * Completes a store, so that callers need not check for a method. `ofUser`, `removeOfUser`, `take` and `count` throw where
 * the store lacks them; `sweep` finds nothing to drop, and `successor` finds no session.
 *
 * @returns the store itself if it has every method.
 */
export function withEveryTrait (store: SessionStore): CompleteSessionStore {
  const isComplete = METHODS.every((method) => typeof store[method] === 'function')
  return isComplete ? store as CompleteSessionStore : { ...SUBSTITUTES, ...wrapStore(store, (_, call) => call) }
}

const SUBSTITUTES = {
  ofUser: missing('ofUser'),
  removeOfUser: missing('removeOfUser'),
  take: missing('take'),
  count: missing('count'),
  successor: () => null,
  sweep: () => 0
} satisfies Partial<SessionStore>

/**
 * Wraps a store: the result has every method of the contract that the store has, with its `sync` and its `keepsLimit`.
 *
 * @param wrap returns what to call in place of a method. `call` calls the method, which is looked up each time.
 */
export function wrapStore<S extends SessionStore> (store: S, wrap: (method: StoreMethod, call: StoreCall) => StoreCall): S {
  const methods = METHODS.filter((method) => typeof store[method] === 'function')
  return {
    sync: store.sync,
    ...store.keepsLimit !== undefined && { keepsLimit: store.keepsLimit },
    ...Object.fromEntries(methods.map((method) => [method, wrap(method, (...args) => (store[method] as StoreCall)(...args))]))
  } as S
}

function missing (method: Trait): () => never {
  return () => { throw new StoreMethodMissingError(method) }
}
