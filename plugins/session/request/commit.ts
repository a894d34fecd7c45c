import type { Calls } from '../../common/calls.js'
import { after, type MaybePromise } from '../../common/maybe-promise.js'
import type { ChangeSet } from '../model/change-set.js'
import { LogoutUnconfirmedError, NoCookieError } from '../model/errors.js'
import { recordActivity } from './activity.js'
import { dropCookieIfEnded } from './delivery.js'
import type { Session } from './session.js'
import { storeChanges } from './store-changes.js'

/**
 * Stores the values as the response leaves, after the calls that were made before. From here on, changes are refused.
 *
 * @throws the error of a call that nobody awaits. The values are not stored then.
 */
export function commit (session: Session): MaybePromise<void> {
  return session.setAside === null ? commitOnce(session) : commitBeside(session)
}

/** Commits what an error handler has changed. What the failed response had changed waits meanwhile. */
async function commitBeside (session: Session): Promise<void> {
  try {
    await commitOnce(session)
  } finally {
    if (session.setAside !== null) session.values.restore(session.setAside)
    session.setAside = null
  }
}

/**
 * Lets an error handler change the session: its response takes the place of the one that has failed, and stores only what changes
 * from here on. What the store could not take waits for a call that a handler still makes.
 *
 * @param areUnstorable whether the changes so far can never be stored
 */
export function reopen (session: Session, areUnstorable: boolean): void {
  session.reopen()
  try {
    if (!areUnstorable) session.setAside = session.values.takeAny(session.storedPermanent)
  } catch {
    // One of them is not JSON, or does not fit the schema.
    areUnstorable = true
  }
  if (areUnstorable) session.dropChanges()
}

function commitOnce (session: Session): MaybePromise<void> {
  session.close()
  const { queue, values } = session
  if (queue !== null && (isBusy(session) || session.isUnconfirmed)) return commitAfterCalls(session, queue, values.take())
  if (!session.isAvailable) return
  const changes = values.takeAny(session.storedPermanent)
  if (changes !== null) return commitAfterCalls(session, session.openQueue(), changes)
  // No promise: most responses have nothing to store.
  return after(recordActivity(session), () => dropCookieIfEnded(session))
}

/** Tells whether calls are under way, or one that nobody awaits has failed. */
export function isBusy ({ queue }: Session): boolean {
  return queue !== null && (queue.isBusy || queue.hasFailed)
}

/** Waits for the calls that a handler makes after its answer. @throws the error of one that nobody awaits */
export async function settle (session: Session): Promise<void> {
  const { queue } = session
  if (queue === null) return
  try {
    await queue.idle()
    assertNoneFailed(session, queue)
  } finally {
    await dropCookieIfEnded(session)
  }
}

async function commitAfterCalls (session: Session, queue: Calls, changes: ChangeSet): Promise<void> {
  try {
    await queue.runHeeded(() => commitOrRestore(session, queue, changes))
  } finally {
    await dropCookieIfEnded(session)
  }
}

async function commitOrRestore (session: Session, queue: Calls, changes: ChangeSet): Promise<void> {
  try {
    assertNoneFailed(session, queue)
    await commitChanges(session, changes)
  } catch (error) {
    session.values.restore(changes)
    session.mayHaveEnded = true
    throw error
  }
}

function assertNoneFailed ({ request, isUnconfirmed, isSuccess }: Session, queue: Calls): void {
  const [error, ...others] = queue.unheeded()
  for (const other of others) request.log.error({ err: other }, 'a call on the session failed')
  if (error !== undefined) throw error
  // A handler that has caught the error must not answer that the logout succeeded.
  if (isUnconfirmed && isSuccess) throw new LogoutUnconfirmedError()
}

async function commitChanges (session: Session, changes: ChangeSet): Promise<void> {
  const { request, values } = session
  if (!session.isAvailable) return
  changes.resolve(session.storedFields)
  if (!hasEffect(session, changes)) {
    values.restore(changes)
    await recordActivity(session)
    return
  }
  if (session.silence !== null) throw session.silence
  try {
    if (await storeChanges(session, changes)) return
    // Neither sets nor clears the cookie: the browser may already hold that of a newer session.
    request.log.warn('The session ended while a request was under way. The changes of this request are not stored.')
  } catch (error) {
    if (!(error instanceof NoCookieError)) throw error
    const lost = session.stored === null ? 'The session of a new visitor is' : 'The changes of this request are'
    request.log.warn({ err: error }, `${lost} not stored, because the response has begun or the client has gone.`)
  }
  values.confirm(changes, session.storedFields)
}

function hasEffect ({ stored }: Session, { set, remove, permanent }: ChangeSet): boolean {
  if (remove.size > 0 || Object.keys(set).length > 0) return true
  return stored !== null && permanent !== null && permanent !== stored.record.permanent
}
