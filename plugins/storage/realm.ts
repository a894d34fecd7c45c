import { DEFAULT_REALM, namesRealm, realmSuffix } from '../common/realm.js'
import { after } from '../common/maybe-promise.js'
import { eachInSlices } from '../common/slices.js'
import type { Replaced, SessionRecord, StoredSession } from '../store/record.js'
import { wrapStore, type CompleteSessionStore } from '../store/traits.js'

/**
 * Returns the sessions of one realm in a store that several realms may share. The keys of realms differ by themselves. This
 * keeps the index by user apart: the store knows a user by name and realm, the caller by name alone. In the realm `hatcheck`
 * the two are the same, and the store itself is returned.
 */
export function inRealm (store: CompleteSessionStore, realm: string): CompleteSessionStore {
  if (realm === DEFAULT_REALM) return store
  const suffix = realmSuffix(realm)
  // A store may return the same record many times, and callers cache by the identity of a record.
  const outwards = new WeakMap<SessionRecord, SessionRecord | null>()

  function inward<T extends { readonly user?: string | null }> (values: T): T {
    if (values.user === undefined || values.user === null) return values
    if (namesRealm(values.user)) throw new TypeError('The name of a user must not end in a NUL character and the name of a realm.')
    return { ...values, user: values.user + suffix }
  }

  function nameOf (user: string): string | null {
    return user.endsWith(suffix) ? user.slice(0, -suffix.length) : null
  }

  /** Returns null for a record of another realm. */
  function outward (record: SessionRecord | null): SessionRecord | null {
    if (record === null || record.user === null) return record
    let known = outwards.get(record)
    if (known === undefined) {
      const user = nameOf(record.user)
      known = user === null ? null : { ...record, user }
      outwards.set(record, known)
    }
    return known
  }

  /** Remembers none of these records, since there may be very many. */
  async function outwardAll (sessions: readonly StoredSession[]): Promise<StoredSession[]> {
    const own: StoredSession[] = []
    await eachInSlices(sessions, ({ key, record }) => {
      const user = nameOf(record.user ?? '')
      if (user !== null) own.push({ key, record: outwards.get(record) ?? { ...record, user } })
    })
    return own
  }

  /** A replacement copies the user of a session that this realm has read, so both records belong to this realm. */
  function outwardBoth (answer: Replaced): Replaced {
    return answer.outcome === 'replaced' ? { ...answer, last: outward(answer.last) as SessionRecord, next: outward(answer.next) } : answer
  }

  const members: Partial<CompleteSessionStore> = {
    read: (key) => after(store.read(key), outward),
    create: (key, record, limit) => store.create(key, inward(record), limit),
    patch: (key, changes) => store.patch(key, inward(changes)),
    remove: (key, nextKey) => after(store.remove(key, nextKey), outward),
    replace: (key, nextKey, change, limit) => after(store.replace(key, nextKey, inward(change), limit), outwardBoth),
    ofUser: (user) => after(store.ofUser(user + suffix), outwardAll),
    removeOfUser: (user, exceptKey, onEnded) => store.removeOfUser(user + suffix, exceptKey, onEnded),
    sweep: (budgetMs, onExpired) => store.sweep(budgetMs, onExpired && ((key, user) => {
      const name = user === null ? null : nameOf(user)
      if (user === null || name !== null) onExpired(key, name)
    }))
  }
  return wrapStore(store, (method, call) => members[method] ?? call)
}
