import type { RootDatabase } from 'lmdb'
import { storeUnavailable } from '../../store/errors.js'

/**
 * Runs `action`, which must be synchronous and only read, on the newest committed state.
 *
 * @throws StoreUnavailableError, or an error of hatcheck that `action` throws
 */
export function readFresh<T> (env: RootDatabase, doing: string, action: () => T): T {
  try {
    // A read transaction may stay open for the rest of the event loop's turn: without this, a session that another
    // process has just ended would still be read as live.
    env.resetReadTxn()
    return action()
  } catch (error) {
    throw storeUnavailable(error, doing)
  }
}
