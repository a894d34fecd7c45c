import { within } from '../common/deadline.js'
import type { SessionStore } from '../store/sessions.js'

/** How long a call about one session may take, in ms. A store of the application may wait for a pool of connections. */
const DEADLINE_MS = 5_000

/** Bounds the time of the calls about one session: otherwise a store that does not answer would hold requests and their memory. */
export function boundedStore (store: SessionStore, deadlineMs = DEADLINE_MS): SessionStore {
  const text = `no answer within ${deadlineMs} ms`
  const bounded = <A extends unknown[], R>(call: (...args: A) => R | Promise<R>) => async (...args: A): Promise<R> =>
    await within(deadlineMs, Promise.resolve(call.apply(store, args)), text)
  const { ofUser, removeOfUser, take, count, successor, sweep } = store
  return {
    sync: store.sync,
    ...store.keepsLimit !== undefined && { keepsLimit: store.keepsLimit },
    read: bounded(store.read),
    create: bounded(store.create),
    patch: bounded(store.patch),
    touch: bounded(store.touch),
    remove: bounded(store.remove),
    replace: bounded(store.replace),
    ping: bounded(store.ping),
    close: () => store.close(),
    ...take !== undefined && { take: bounded(take) },
    ...successor !== undefined && { successor: bounded(successor) },
    // These take longer the more sessions there are.
    ...ofUser !== undefined && { ofUser: ofUser.bind(store) },
    ...removeOfUser !== undefined && { removeOfUser: removeOfUser.bind(store) },
    ...count !== undefined && { count: count.bind(store) },
    ...sweep !== undefined && { sweep: sweep.bind(store) }
  }
}
