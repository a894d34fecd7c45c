import { CLIENT_FIELD, USER_FIELD } from '../../store/identity.js'
import { continuesAs, hasFields, isLogout, successorOf } from '../../store/sessions.js'
import type { ChangeSet } from '../model/change-set.js'
import { SessionGoneError, SessionKeysError } from '../model/errors.js'
import { entriesOf } from '../model/fields.js'
import { kindOf } from '../model/json.js'
import { planLogin, planRenewal } from '../model/plan.js'
import { Snapshot } from '../model/snapshot.js'
import { assertUserName } from '../model/user.js'
import { assertCookieCanBeSent, dropCookieIfEnded, handOver } from './delivery.js'
import type { Session } from './session.js'
import { storeChanges } from './store-changes.js'

export interface LoginRequest {
  readonly user: string
  /** Undefined: what the handler has assigned to `session.permanent`. */
  readonly permanent: boolean | undefined
  /** Describes the client, as the text of a field. */
  client (): string
  /** Values to set with the login. */
  readonly data: Readonly<Record<string, unknown>>
  /** Whether the user must still be logged in: the login then begins no new session. */
  readonly isReauthentication?: boolean
  /** Called once the session is stored, before the login succeeds. If it rejects, the session ends. */
  readonly confirm?: (() => Promise<void>) | undefined
}

/**
 * Logs the user in, under a new ID: an attacker who knows the old one (session fixation) gains nothing. The session keeps
 * its values, unless they are another user's.
 *
 * @throws SessionGoneError on a reauthentication, if the session has ended or is no longer this user's.
 */
export function login (session: Session, { user, permanent, client, data, isReauthentication = false, confirm }: LoginRequest): Promise<void> {
  return callStoring(session, 'all', async (changes) => {
    assertUserName(user, 'request.login')
    const entries = entriesOf(data)
    assertCookieCanBeSent(session)
    const { stored, context, request, values } = session
    const { writer, ender, newId } = context
    const keepsValues = stored === null || continuesAs(user, stored.record)
    if (!keepsValues) {
      changes.abandon()
      values.forgetRead()
    }
    context.schema?.assertFits(entries, keepsValues ? values.snapshot() : new Snapshot([]))
    const { record, change } = planLogin(changes, { user, permanent, client: client(), data: entries }, keepsValues, context)
    const replaced = stored === null ? null : await writer.replace(stored, newId(), change, request)
    if (isReauthentication && replaced?.lastUser !== user) {
      if (replaced?.next) await ender.discard(replaced.next, request)
      throw new SessionGoneError()
    }
    const begun = replaced?.next ?? await writer.create(newId(), record, request)
    // The handler may hold an object that the data has replaced.
    values.forgetRead(new Set(entries.map(([key]) => key)))
    await handOver(session, begun, changes)
    try {
      await confirm?.()
    } catch (error) {
      await end(session, values.drop('none'))
      throw error
    }
  })
}

/** Continues under a new ID with these keys. A session that is not stored yet only drops its other values. @throws SessionKeysError */
export function regenerate (session: Session, keys: readonly string[] = []): Promise<void> {
  if (!Array.isArray(keys)) return reject(session, new SessionKeysError(kindOf(keys)))
  const wrong: unknown = keys.find((key) => typeof key !== 'string')
  if (wrong !== undefined) return reject(session, new SessionKeysError(`a list with ${kindOf(wrong)}`))
  const keep = new Set(keys.includes(USER_FIELD) ? [...keys, CLIENT_FIELD] : keys)
  return callStoring(session, [...keep], async (changes) => {
    session.dropNextId()
    const { stored, context, request } = session
    const { writer, ender, newId } = context
    if (stored === null) return session.values.restore(changes, keep)
    const change = planRenewal(stored, changes, keep, context)
    if (!context.remembersEnds || hasFields(successorOf(stored.record, change))) assertCookieCanBeSent(session)
    if (isLogout(change)) await ender.endOthers(request, stored)
    const replaced = await writer.replace(stored, newId(), change, request)
    if (replaced === null) throw new SessionGoneError()
    await handOver(session, replaced.next, changes)
    session.mayHaveEnded = true
  })
}

/**
 * Ends the session for good. Values that are set after this begin a new one.
 *
 * @throws LogoutUnconfirmedError, and NoCookieError if ends are not remembered: the removal of the cookie is then all that it does.
 */
export function destroy (session: Session): Promise<void> {
  const changes = session.values.drop('none')
  return session.callUnread(() => end(session, changes))
}

async function end (session: Session, changes: ChangeSet): Promise<void> {
  const { stored, isAvailable, silence, context, request } = session
  if (stored !== null && !context.remembersEnds) {
    try {
      assertCookieCanBeSent(session)
    } catch (error) {
      session.values.restore(changes)
      throw error
    }
  }
  // The request has no session from here on, even if the end cannot be stored: its ticket is refused then.
  session.continueWith(null, changes)
  session.sendCookie('clear')
  try {
    await context.ender.end(request, stored, { isAvailable, isSilent: silence !== null })
    session.isUnconfirmed = false
  } catch (error) {
    // Not before: a response that leaves in the meantime waits for this call.
    session.isUnconfirmed = true
    throw error
  }
}

/** Stores the changes. @throws SessionGoneError if the session has ended in the meantime. */
export function save (session: Session): Promise<void> {
  return callStoring(session, 'all', async (changes) => {
    if (!await storeChanges(session, changes)) throw new SessionGoneError()
  })
}

/** Drops the changes that are not stored, and reads the session again. */
export function reload (session: Session): Promise<void> {
  return callWith(session, session.values.drop('all'), async (changes) => {
    const { stored, context } = session
    const record = stored === null ? null : await context.read(stored)
    session.continueWith(stored === null || record === null ? null : { ticket: stored.ticket, record }, changes)
  })
}

/** Loads the session, even if that has failed before. */
export function load<T> (session: Session, then: () => T): Promise<T> {
  session.forgetFailure()
  return session.call(async () => then())
}

/** Fails as a call does: with the response, if nobody awaits it. */
export function reject (session: Session, error: unknown): Promise<never> {
  return session.callUnread(async () => { throw error })
}

/** Makes a call that stores the changes so far. They come back if it fails. */
function callStoring (session: Session, keep: 'all' | readonly string[], work: (changes: ChangeSet) => Promise<void>): Promise<void> {
  let changes: ChangeSet
  try {
    changes = session.values.take(keep)
  } catch (error) {
    return reject(session, error)
  }
  return callWith(session, changes, work)
}

/** Makes a call with changes that come back if it fails. */
function callWith (session: Session, changes: ChangeSet, work: (changes: ChangeSet) => Promise<void>): Promise<void> {
  return session.call(async () => {
    changes.resolve(session.storedFields)
    await work(changes)
  }, () => {
    session.values.restore(changes)
    // The store may have carried out a call that it reports as failed.
    session.mayHaveEnded = true
    return dropCookieIfEnded(session)
  })
}
