import { within } from '../common/deadline.js'
import { isThenable, type MaybePromise } from '../common/maybe-promise.js'
import type { SessionStore } from '../store/sessions.js'
import type { CompleteSessionStore } from '../store/traits.js'

/** How long a call of a store of the application may take, in ms. It may wait for a pool of connections. */
const DEADLINE_MS = 5_000

/**
 * Bounds the time of the calls about one session: otherwise a store that does not answer would hold requests and their memory.
 * What a synchronous store answers without a promise stays so.
 */
export function boundedStore (store: SessionStore, deadlineMs = DEADLINE_MS): SessionStore {
  const bounded = <A extends unknown[], R>(call: (...args: A) => MaybePromise<R>): ((...args: A) => MaybePromise<R>) => {
    const inTime = (...args: A): MaybePromise<R> => answerInTime(call(...args), deadlineMs)
    return store.sync ? inTime : async (...args) => await inTime(...args)
  }
  const { ofUser, removeOfUser, count, sweep } = store
  return {
    sync: store.sync,
    ...store.keepsLimit !== undefined && { keepsLimit: store.keepsLimit },
    read: bounded((...args) => store.read(...args)),
    create: bounded((...args) => store.create(...args)),
    patch: bounded((...args) => store.patch(...args)),
    touch: bounded((...args) => store.touch(...args)),
    remove: bounded((...args) => store.remove(...args)),
    replace: bounded((...args) => store.replace(...args)),
    ping: bounded(() => store.ping()),
    close: () => store.close(),
    ...store.take !== undefined && { take: bounded((...args) => (store as CompleteSessionStore).take(...args)) },
    ...store.successor !== undefined && { successor: bounded((...args) => (store as CompleteSessionStore).successor(...args)) },
    // These take longer the more sessions there are.
    ...ofUser !== undefined && { ofUser: ofUser.bind(store) },
    ...removeOfUser !== undefined && { removeOfUser: removeOfUser.bind(store) },
    ...count !== undefined && { count: count.bind(store) },
    ...sweep !== undefined && { sweep: sweep.bind(store) }
  }
}

/** Bounds the time that an answer may take. @throws Error if it takes longer. */
export function answerInTime<T> (answer: MaybePromise<T>, deadlineMs = DEADLINE_MS): MaybePromise<T> {
  return isThenable(answer) ? within(deadlineMs, Promise.resolve(answer), `no answer within ${deadlineMs} ms`) : answer
}
