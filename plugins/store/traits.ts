import { StoreMethodMissingError } from './errors.js'
import type { SessionStore } from './sessions.js'

/** A part of the contract that a store may lack, and what does not work without it. */
const LOSSES = {
  ofUser: 'app.sessions.ofUser, app.sessions.revoke and the page "My sessions" fail',
  removeOfUser: 'app.sessions.revokeUser and the end of all other sessions fail',
  keepsLimit: 'a user may have more sessions than sessionsPerUser',
  take: 'request.flashes fails once a flash message is stored',
  successor: 'a logout while its session gets a new ID may not end the session',
  count: 'app.sessions.store.count fails',
  sweep: 'the store must drop expired sessions itself, and the event "expired" does not occur'
} as const

/** The name of an optional member of {@link SessionStore} that hatcheck uses. */
export type Trait = keyof typeof LOSSES

export const TRAITS: readonly Trait[] = ['ofUser', 'removeOfUser', 'keepsLimit', 'take', 'successor', 'count', 'sweep']

/** A session store with every method. {@link withEveryTrait} makes one of any store. */
export type CompleteSessionStore = SessionStore & Required<Pick<SessionStore, Exclude<Trait, 'keepsLimit'>>>

/** Whether a store has a trait. */
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
  if (isComplete(store)) return store
  return {
    sync: store.sync,
    ...store.keepsLimit !== undefined && { keepsLimit: store.keepsLimit },
    read: (...args) => store.read(...args),
    create: (...args) => store.create(...args),
    patch: (...args) => store.patch(...args),
    touch: (...args) => store.touch(...args),
    remove: (...args) => store.remove(...args),
    replace: (...args) => store.replace(...args),
    ping: () => store.ping(),
    close: () => store.close(),
    ofUser: store.ofUser?.bind(store) ?? missing('ofUser'),
    removeOfUser: store.removeOfUser?.bind(store) ?? missing('removeOfUser'),
    take: store.take?.bind(store) ?? missing('take'),
    count: store.count?.bind(store) ?? missing('count'),
    successor: store.successor?.bind(store) ?? (() => null),
    sweep: store.sweep?.bind(store) ?? (() => 0)
  }
}

function isComplete (store: SessionStore): store is CompleteSessionStore {
  return TRAITS.every((trait) => trait === 'keepsLimit' || hasTrait(store, trait))
}

function missing (method: Trait): () => never {
  return () => { throw new StoreMethodMissingError(method) }
}
