import { DEFAULT_REALM, REALM_SEPARATOR } from '../../common/realm.js'
import type { RevocationStore } from '../../store/revocations.js'

/** Returns the revocations of one realm. The keys of realms differ by themselves; this keeps the users apart. */
export function revocationsIn (realm: string, store: RevocationStore): RevocationStore {
  const nameOf = (user: string): string => realm === DEFAULT_REALM ? user : user + REALM_SEPARATOR + realm
  return {
    sync: store.sync,
    lookUp: (key, user) => store.lookUp(key, user === null ? null : nameOf(user)),
    end: (key, until, nextKey) => store.end(key, until, nextKey),
    successor: (key) => store.successor(key),
    endAll: (user, now, until, exceptKey) => store.endAll(nameOf(user), now, until, exceptKey),
    sweep: (now, budgetMs) => store.sweep(now, budgetMs)
  }
}
