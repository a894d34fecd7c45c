import { expiryOf, type Lifetimes } from '../../common/lifetimes.js'
import { namesRealm } from '../../common/realm.js'
import { eachInSlices, sortedInSlices } from '../../common/slices.js'
import { guarded } from '../../store/errors.js'
import type { StoredSession } from '../../store/sessions.js'
import type { CompleteSessionStore } from '../../store/traits.js'
import type { SessionEmitter } from '../backend/events.js'
import { storedClient, type Client } from '../model/client.js'
import type { Session } from '../request/session.js'

/** A session as its user may see it. Times are in ms since the epoch. */
export interface UserSession extends Client {
  /** Names the session, and grants no access. It changes with the session's ID. */
  readonly handle: string
  /** When the user logged in. */
  readonly createdAt: number
  /** The last recorded activity, up to 1/20 of the idle timeout old. */
  readonly seenAt: number
  /** When the session ends without further activity. */
  readonly expiresAt: number
  /** "Keep me signed in". */
  readonly permanent: boolean
}

interface UserSessionsContext {
  readonly store: CompleteSessionStore
  readonly lifetimes: Lifetimes
  now (): number
  handleOf (key: string): string
}

/** Lists the live sessions of a user, newest activity first. */
export async function sessionsOfUser (name: string, { store, lifetimes, now, handleOf }: UserSessionsContext): Promise<UserSession[]> {
  const sessions: UserSession[] = []
  await eachInSlices(await storedSessionsOf(name, store), (stored) => {
    const session = describedSession(stored, { lifetimes, handleOf })
    if (session.expiresAt > now()) sessions.push(session)
  })
  return await sortedInSlices(sessions, (a, b) => b.seenAt - a.seenAt)
}

/** Describes a session as its user may see it. */
export function describedSession ({ key, record }: StoredSession, { lifetimes, handleOf }: Pick<UserSessionsContext, 'lifetimes' | 'handleOf'>): UserSession {
  const { createdAt, seenAt, permanent, fields } = record
  return { handle: handleOf(key), createdAt, seenAt, expiresAt: expiryOf(record, lifetimes), permanent, ...storedClient(fields) }
}

/**
 * Ends the session of a user with this handle. Searches only the user's own sessions, so the handle of another user's session
 * is unknown.
 *
 * @returns its key, or null if the handle is unknown.
 */
export async function endSessionOfUser (name: string, handle: string, { store, handleOf }: Pick<UserSessionsContext, 'store' | 'handleOf'>): Promise<string | null> {
  const keys: string[] = []
  await eachInSlices(await storedSessionsOf(name, store), ({ key }) => { if (handleOf(key) === handle) keys.push(key) })
  const [key] = keys
  if (key === undefined) return null
  const last = await guarded('revoke', () => store.remove(key))
  return last === null ? null : key
}

/** Ends every session of a user. Returns how many. */
export async function endSessionsOfUser (name: string, store: CompleteSessionStore, onEnded: (key: string) => void): Promise<number> {
  return namesRealm(name) ? 0 : await guarded('revoke', () => store.removeOfUser(name, undefined, onEnded))
}

/** Ends every session of the user of a session but this one. Returns how many. */
export async function endOtherSessions ({ user, stored, request }: Pick<Session, 'user' | 'stored' | 'request'>, store: CompleteSessionStore, emitter: SessionEmitter): Promise<number> {
  if (user === null || stored === null) return 0
  return await guarded('revoke', () => store.removeOfUser(user.name, stored.ticket.key, (key) => { emitter.emit('revoked', key, user.name, request) }))
}

async function storedSessionsOf (name: string, store: CompleteSessionStore): Promise<StoredSession[]> {
  return namesRealm(name) ? [] : await guarded('list', () => store.ofUser(name))
}
