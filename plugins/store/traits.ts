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

/** What does not work where the sessions are kept in the cookies of the browsers. */
export const COOKIE_LOSSES: readonly string[] = [
  'nobody can list them: app.sessions.ofUser and app.sessions.revoke fail, and the page "My sessions" shows this session only',
  'a user may have more sessions than sessionsPerUser',
  'of two requests at once that change values, the last response wins, and the changes of the other are lost',
  'a flash message may be shown twice, to requests at the same time',
  'a user can go back to an older copy of the cookie, and so to older values, until the session ends',
  'app.sessions.store.count fails, the numbers of ended sessions are 0, and the events "expired" and, but for one session, "revoked" do not occur',
  'a session is limited to the 4,096 bytes of a cookie'
].map((loss) => `The sessions are in the cookies of the browsers: ${loss}.`)

/** What does not work where nothing remembers which of them have ended. */
export const REVOCATION_LOSSES: readonly string[] = [
  'a logout, a new ID or destroy() removes the cookie of this browser, and a copy of it stays logged in until its time is over',
  'a new password, a disabled account, app.sessions.revokeUser and the end of all other sessions end no session'
].map((loss) => `Nothing remembers which sessions have ended (sessionRevocation is none): ${loss}.`)

/** What does not work beyond that where the sessions are in the cookies of a Flask application. */
export const FLASK_LOSSES: readonly string[] = [
  'everybody who has a cookie can read the values in it, since Flask signs them and does not encrypt them',
  'a handle names one signature of a cookie and not the session, and the time of a login in Flask is unknown'
].map((loss) => `The sessions are in the cookies of Flask: ${loss}.`)

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
