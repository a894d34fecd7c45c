import { realmSuffix } from '../../common/realm.js'
import type { RevocationStore } from '../../store/revocations.js'

/** Returns the revocations of one realm. The keys of realms differ by themselves; this keeps the users apart. */
export function revocationsIn (realm: string, store: RevocationStore): RevocationStore {
  const suffix = realmSuffix(realm)
  return {
    sync: store.sync,
    lookUp: (key, user) => store.lookUp(key, user === null ? null : user + suffix),
    end: (key, until, nextKey) => store.end(key, until, nextKey),
    successor: (key) => store.successor(key),
    endAll: (user, now, until, exceptKey) => store.endAll(user + suffix, now, until, exceptKey),
    sweep: (now, budgetMs) => store.sweep(now, budgetMs)
  }
}
