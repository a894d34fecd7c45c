import { continuationOf, hasFields, successorLimit, successorOf, type Replaced, type SessionChanges, type SessionRecord, type SessionReplacement, type SessionStore, type UserLimit } from './sessions.js'

/**
 * Replaces a session in a store that cannot reach two keys in one atomic step. The store passes itself and the arguments of
 * its `replace`. The successor begins first and then the predecessor ends, so nothing that was acknowledged is lost if the
 * process ends between the two steps. The last record comes from the removal itself, so the successor gets a change that
 * another request makes in the meantime, and a session that another request has ended stays ended.
 *
 * Between the two steps both sessions are live, no client knows the ID of the successor, and a late change may be missing in
 * it. `removeOfUser` of such a store must list the sessions of the user again whenever one of them has ended before its turn:
 * that one may continue under a key that was not in the list.
 *
 * @throws the error of a step. If the successor has begun by then, it is removed again; if that fails too, the first error
 * is thrown. The caller of `replace` removes `nextKey` in any case.
 * @example
 * replace (key, nextKey, change, limit) {
 *   return replaceInTwoSteps(this, key, nextKey, change, limit)
 * }
 */
export async function replaceInTwoSteps (
  store: Pick<SessionStore, 'read' | 'create' | 'remove' | 'patch'>,
  key: string,
  nextKey: string,
  change: SessionReplacement,
  limit?: UserLimit
): Promise<Replaced> {
  const read = await store.read(key)
  if (read === null) return { outcome: 'gone' }
  const begun = successorOf(read, change)
  if (!await store.create(nextKey, begun, successorLimit(begun, read, limit))) return { outcome: 'refused' }
  try {
    const last = await store.remove(key, continuationOf(nextKey, begun, change))
    if (last === null) {
      await store.remove(nextKey)
      return { outcome: 'gone' }
    }
    const next = successorOf(last, change)
    if (!hasFields(next)) {
      await store.remove(nextKey)
      return { outcome: 'replaced', last, next: null }
    }
    const late = changesBetween(begun, next)
    // Another call may have ended the successor by now, such as the end of every session of its user.
    if (late !== null && !await store.patch(nextKey, late)) return { outcome: 'gone' }
    return { outcome: 'replaced', last, next }
  } catch (error) {
    await removeIfPossible(store, nextKey)
    throw error
  }
}

/** Returns the changes from one record to the other, or null if they are the same. */
function changesBetween (before: SessionRecord, after: SessionRecord): SessionChanges | null {
  const set = Object.entries(after.fields).filter(([name, text]) => before.fields[name] !== text)
  const remove = Object.keys(before.fields).filter((name) => !Object.hasOwn(after.fields, name))
  const { seenAt, expiresAt, permanent, user } = after
  const isSame = set.length === 0 && remove.length === 0 && seenAt === before.seenAt && expiresAt === before.expiresAt &&
    permanent === before.permanent && user === before.user
  if (isSame) return null
  return { set: Object.fromEntries(set), remove, seenAt, expiresAt, permanent, ...user !== before.user && { user } }
}

async function removeIfPossible (store: Pick<SessionStore, 'remove'>, key: string): Promise<void> {
  try {
    await store.remove(key)
  } catch {
    // The first error says more, and the caller removes the key again.
  }
}
