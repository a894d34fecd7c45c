import { assertRule } from '../../common/rule.js'
import type { SessionStore } from '../../store/sessions.js'
import type { ExpressSessionStore } from '../../store/express-store.js'
import { ExpressStore, type ExpressStoreOptions } from './sessions.js'

/**
 * Turns a store made for express-session, such as connect-pg-simple or connect-redis, into one for hatcheck.
 *
 * Such a store reads and writes whole sessions, without a condition, so the promises of {@link SessionStore} hold **within
 * one process only**, where the calls for one session wait for one another. With several processes on one store they are
 * lost:
 *
 * - **An update is lost.** A write carries the whole session, so of two processes that change one session at once, the later
 *   undoes what the other has written. Recording activity is such a write.
 * - **A logout is undone.** A process that has read the session before its end, and writes it afterwards, brings it back.
 *   Only the process that answered the logout still refuses it: for 15 minutes, and until it restarts.
 * - **Something happens twice.** Two processes both end the same session, begin one under the same key, or take the same
 *   fields out.
 * - **A user has more sessions than `sessionsPerUser`.** Simultaneous logins in two processes do not see one another.
 *
 * Two adapters over one store in one process lose the same: make one. Where this is not good enough, use LMDB or Redis. A
 * process remembers the last 100,000 ended sessions, and forgets the oldest first.
 *
 * - `ofUser` and `removeOfUser` read every session with the method `all` of the store. They are right across processes, and
 *   slow. A store without `all` lacks both. Before the first list, hatcheck writes a session and looks for it there: they fail
 *   if `all` answers with something else than the sessions.
 * - `sessionsPerUser` is kept only with {@link ExpressStoreOptions.keepsLimit}, because it needs `all`.
 * - `count` uses `length`, which may include sessions of other applications; without it, `all`. A store with neither lacks it.
 *   It fails if `length` does not answer with a number.
 * - A session gets a new ID in two steps, the new one first: if the process ends between them, the old one lives on.
 * - The store drops expired sessions itself, by `cookie.expires` and `cookie.maxAge`, about a minute after their end.
 * - A call that the store never answers blocks its own session and no other.
 * - `close` leaves the store open.
 *
 * @returns a store whose every method throws StoreUnavailableError if the store fails or does not answer in time. A session
 * that cannot be read because its file is missing (`ENOENT`, as in express-session) or its text is no JSON is a missing one.
 * @throws ConfigError if the store has no `get`, `set` or `destroy`, or has no `all` and is to keep the limit.
 * @example
 * const PgSession = connectPgSimple(expressSession)
 * await app.register(hatcheck, { secretKey, sessionStore: expressStore(new PgSession({ pool })) })
 */
export function expressStore (store: ExpressSessionStore, options: ExpressStoreOptions = {}): SessionStore {
  for (const method of ['get', 'set', 'destroy'] as const) {
    assertRule(typeof store?.[method] === 'function', `expressStore needs a store made for express-session; it has no method ${method}.`)
  }
  assertRule(options.keepsLimit !== true || typeof store.all === 'function', 'keepsLimit of expressStore needs a store with the method all.')
  return new ExpressStore(store, options)
}
