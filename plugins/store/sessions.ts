import type { AccountStore } from './accounts.js'
import type { AttemptStore } from './attempts.js'
import type { MaybePromise } from '../common/maybe-promise.js'
import type { Replaced, SessionChanges, SessionFields, SessionRecord, SessionReplacement, StoredSession, UserLimit } from './record.js'

export type { MaybePromise } from '../common/maybe-promise.js'
export * from './record.js'

/**
 * The contract of a session store. Sessions stay correct under races because of four rules. `storeContract` of
 * `hatcheck/store-contract` tests them for every store.
 *
 * 1. **Missing is not an error.** A record that never existed, has expired, was removed or cannot be decoded reads as
 *    `null`. A store throws (or rejects) only when the system behind it fails.
 * 2. **No write brings a session back.** `create` only inserts. `patch` and `touch` change an existing record and return
 *    `false` if it is gone. `replace` begins a session only from a live one. There is no upsert.
 * 3. **A removed key stays dead.** `remove` and `replace` leave a tombstone that outlives the longest request
 *    ({@link TOMBSTONE_MS}), so a late `create` of the same key is refused.
 * 4. **A change touches its own fields only.** Each session key is a field of its own, as JSON text. Two requests that
 *    change different fields cannot overwrite one another, and no store can return a live object by mistake.
 *
 * A call that concerns one key is atomic: no other call, in this process or another, sees it half done. `replace`
 * concerns two keys. A store that reaches both in one step replaces atomically. A store that cannot, such as a cluster
 * with the keys on different nodes, takes two steps; {@link SessionStore.replace} says what holds between them.
 *
 * Every store has the core: `sync`, `read`, `create`, `patch`, `touch`, `remove`, `replace`, `ping` and `close`. The optional
 * members are traits. A store may lack them; the log then says at the start what does not work.
 */
export interface SessionStore {
  /**
   * Whether {@link read} returns at once, without a promise. hatcheck reads a session from such a store when a request asks
   * for it, and from any other store before the handler runs.
   */
  readonly sync: boolean

  /** Returns the live record, or null. The caller must not change it. */
  read (key: string): MaybePromise<SessionRecord | null>

  /**
   * Inserts a record. Returns false and writes nothing if the key exists or has a tombstone.
   *
   * @param limit of a login: how many live sessions the user of the record may have, including the new one. The oldest
   * sessions over it end, however many logins run at once. A store that needs several steps ends the old sessions first;
   * they may then have ended for a session that cannot begin. A store without {@link keepsLimit} ignores it.
   */
  create (key: string, record: SessionRecord, limit?: UserLimit): MaybePromise<boolean>

  /**
   * Sets and removes single fields. Returns false and writes nothing if no live record has the key.
   *
   * @throws SessionTooLargeError if the result would exceed the store's `maxBytes`; the record is unchanged.
   */
  patch (key: string, changes: SessionChanges): MaybePromise<boolean>

  /**
   * Records activity. Never creates, never moves either time back, never changes data. Returns false if no live record has the
   * key.
   *
   * @param seenAt in ms since the epoch
   * @param expiresAt in ms since the epoch
   */
  touch (key: string, seenAt: number, expiresAt: number): MaybePromise<boolean>

  /**
   * Ends a session for good. Returns once the end is durable. Idempotent.
   *
   * @param nextKey where the session continues. If this call has ended the session, {@link successor} returns it from now on.
   * @returns the record at its end, or null if there was no live one. Only one caller gets the record: the one that ended
   * the session. So a renewal loses nothing and never revives a session that has ended in the meantime.
   */
  remove (key: string, nextKey?: string): MaybePromise<SessionRecord | null>

  /**
   * Ends the session under `key` and begins its successor under `nextKey`, from the last record at that moment. A change
   * that another request makes in the meantime is either in the successor or refused. `key` gets a tombstone. Of several
   * simultaneous calls for one `key`, at most one returns `replaced`.
   *
   * Returns once both the end and the beginning are durable. A store that reaches both keys in one step does both in one
   * atomic step. Any other store begins the successor first and then ends the predecessor, as `replaceInTwoSteps` does.
   * Between the two steps both sessions are live and `ofUser` lists both, but no client knows the ID of the successor. If
   * the process ends there, the predecessor lives on, and the successor expires or ends with `removeOfUser`. In such a
   * store `nextKey` may have a tombstone after any outcome but `replaced`.
   *
   * @param limit as for {@link create}, if the successor has another user than its predecessor. A successor of the same
   * user takes the place of its predecessor, so no session ends for it. The predecessor never counts.
   * @returns `last` is the record at the end of the predecessor, `next` the one at the beginning of the successor. The caller
   * must not change them.
   * @throws SessionTooLargeError if the successor would exceed the store's `maxBytes`; nothing has changed. In two steps,
   * a concurrent patch that makes the successor too large between them ends both sessions.
   * @throws if the store fails. Then either session may be live, so the caller removes `nextKey`.
   */
  replace (key: string, nextKey: string, change: SessionReplacement, limit?: UserLimit): MaybePromise<Replaced>

  /** Resolves when the store can serve. Throws (or rejects) when it cannot. */
  ping (): MaybePromise<void>

  /** Flushes all writes and releases every resource. */
  close (): MaybePromise<void>

  /** Trait: returns the live sessions of a user, oldest first. */
  ofUser? (user: string): MaybePromise<StoredSession[]>

  /**
   * Trait: ends every session of a user that exists when the call begins, except `exceptKey`. A session that is replaced
   * during the call ends too, under either key. Returns how many sessions it has ended. One that cannot be ended does not keep
   * the others alive: the call ends those, and fails.
   *
   * @param onEnded called with the key of each session that this call has ended, once the end is durable
   */
  removeOfUser? (user: string, exceptKey?: string, onEnded?: (key: string) => void): MaybePromise<number>

  /**
   * Trait: whether {@link create} and {@link replace} keep to their limit.
   *
   * @default false
   */
  readonly keepsLimit?: boolean

  /**
   * Trait: takes every field whose name begins with `prefix` out of a live record, and returns these fields. Of several
   * simultaneous calls, each field goes to one. Returns no field if no live record has the key.
   */
  take? (key: string, prefix: string): MaybePromise<SessionFields>

  /**
   * Trait: returns under which key a session continues that {@link replace} has ended without `createdAt`. A logout with
   * the former ID at the moment of the renewal then ends the renewed session. Returns null if the session does not continue,
   * and once {@link TOMBSTONE_MS} have passed.
   */
  successor? (key: string): MaybePromise<string | null>

  /**
   * Trait: returns how many records the store holds: the live ones, and the expired ones that are not dropped yet. It is for
   * operations, not for requests: a store may have to look at every key.
   */
  count? (): MaybePromise<number>

  /**
   * Trait: drops expired records and old tombstones until nothing is left to drop or `budgetMs` is used up. A store whose
   * system drops them by itself needs no `sweep`.
   *
   * @param budgetMs how long the call may hold the event loop, in ms
   * @param onExpired called for each expired session that this call has dropped
   * @returns how many it dropped: at least 1 while there may be more, 0 when nothing is left.
   */
  sweep? (budgetMs: number, onExpired?: (key: string, user: string | null) => void): MaybePromise<number>

  /**
   * The accounts that the application brings beside its sessions. The store must then have `removeOfUser`, because a new
   * password ends the sessions of its account.
   *
   * @default none: the application has no accounts of hatcheck
   */
  readonly accounts?: AccountStore

  /**
   * The counters of failed logins that the application brings beside its sessions.
   *
   * @default counters in the memory of the process
   */
  readonly attempts?: AttemptStore
}

/** How long a removed key is remembered, in ms: longer than any request may take. */
export const TOMBSTONE_MS = 15 * 60_000

/** The options of every session store of hatcheck. */
export interface StoreOptions {
  /** Returns the time, in ms since the epoch. */
  now: () => number
  /** How many bytes of JSON the fields of one session may take. */
  maxBytes: number
}

/**
 * Called for each damaged record: a session, its tombstone, or an entry of an index. The key of the index by user is the
 * name of the user.
 */
export type OnCorruptSession = (key: string, what: 'session' | 'tombstone' | 'index by user' | 'index by expiry') => void
