import { within } from '../../common/deadline.js'
import { isThenable, type MaybePromise } from '../../common/maybe-promise.js'
import type { SessionStore } from '../../store/sessions.js'
import { wrapStore, type StoreCall, type StoreMethod } from '../../store/traits.js'

/**
 * Bounds the time of the calls about one session: otherwise a store that does not answer would hold requests and their memory.
 * An answer that a synchronous store gives without a promise stays one without a promise.
 */
export function boundedStore (store: SessionStore, deadlineMs: number): SessionStore {
  return wrapStore(store, (method, call) => {
    if (UNBOUNDED.has(method)) return call
    const inTime: StoreCall = (...args) => answerInTime(call(...args), deadlineMs)
    return store.sync ? inTime : async (...args) => await inTime(...args)
  })
}

/** These take longer the more sessions there are, and the end of a store has a deadline of its own. */
const UNBOUNDED: ReadonlySet<StoreMethod> = new Set(['ofUser', 'removeOfUser', 'count', 'sweep', 'close'])

/** Bounds the time that an answer may take. @throws DeadlineError if it takes longer. */
export function answerInTime<T> (answer: MaybePromise<T>, deadlineMs: number): MaybePromise<T> {
  return isThenable(answer) ? within(deadlineMs, Promise.resolve(answer), `no answer within ${deadlineMs} ms`) : answer
}
