import { RevocationOffError, SessionsInCookiesError } from '../../store/errors.js'
import type { MaybePromise } from '../../common/maybe-promise.js'
import { LONGEST_MEMORY_MS, type RevocationStore } from '../../store/revocations.js'
import type { CompleteSessionStore } from '../../store/traits.js'

interface CookieSessionsOptions {
  readonly revocations: RevocationStore
  /** Whether the revocations remember which sessions have ended. */
  readonly isEnforced: boolean
  /** The engine that keeps the revocations. */
  readonly engine: Pick<CompleteSessionStore, 'ping' | 'close'>
  now (): number
}

/**
 * The sessions in cookies, for callers without a cookie: the command line, `app.sessions` and the upkeep. Such a caller can end
 * sessions, and nothing else. How many sessions it has ended is unknown, so the answer is 0.
 */
export class CookieSessions implements CompleteSessionStore {
  readonly sync: boolean
  readonly #options: CookieSessionsOptions

  constructor (options: CookieSessionsOptions) {
    this.#options = options
    this.sync = options.revocations.sync
  }

  read (): never { throw new SessionsInCookiesError('read one without its cookie') }
  create (): never { throw new SessionsInCookiesError('begin one without its cookie') }
  patch (): never { throw new SessionsInCookiesError('change one without its cookie') }
  touch (): never { throw new SessionsInCookiesError('change one without its cookie') }
  replace (): never { throw new SessionsInCookiesError('renew one without its cookie') }
  take (): never { throw new SessionsInCookiesError('change one without its cookie') }
  ofUser (): never { throw new SessionsInCookiesError('list the sessions of a user, or end a single one') }
  count (): never { throw new SessionsInCookiesError('count them') }

  async remove (key: string, nextKey?: string): Promise<null> {
    const { revocations, now } = this.#options
    await revocations.end(key, now() + LONGEST_MEMORY_MS, nextKey)
    return null
  }

  /** @throws RevocationOffError */
  async removeOfUser (user: string, exceptKey?: string): Promise<number> {
    const { revocations, isEnforced, now } = this.#options
    if (!isEnforced) throw new RevocationOffError()
    await revocations.endAll(user, now(), now() + LONGEST_MEMORY_MS, exceptKey)
    return 0
  }

  successor (key: string): MaybePromise<string | null> {
    return this.#options.revocations.successor(key)
  }

  sweep (budgetMs: number): MaybePromise<number> {
    return this.#options.revocations.sweep(this.#options.now(), budgetMs)
  }

  ping (): MaybePromise<void> {
    return this.#options.engine.ping()
  }

  close (): MaybePromise<void> {
    return this.#options.engine.close()
  }
}
