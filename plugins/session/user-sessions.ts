import { storedClient, type Client } from './client.js'
import { expiryOf, type Lifetimes } from '../common/clock.js'
import { eachInSlices } from '../common/slices.js'
import { namesRealm } from '../common/realm.js'
import { guarded } from '../store/errors.js'
import type { StoredSession } from '../store/sessions.js'
import type { CompleteSessionStore } from '../store/traits.js'

/** A session, as its user may know it. Times are in ms since the epoch. */
export interface UserSession extends Client {
  /** Names the session, and opens nothing. It is another one after the session's id has changed. */
  readonly handle: string
  /** When the login was. */
  readonly createdAt: number
  /** The last activity that was noted: up to 1/20 of the idle timeout behind the truth. */
  readonly seenAt: number
  /** When it ends, if nothing happens. */
  readonly expiresAt: number
  /** "Keep me signed in". */
  readonly permanent: boolean
}

export interface UserSessionsContext {
  readonly store: CompleteSessionStore
  readonly lifetimes: Lifetimes
  now (): number
  handleOf (key: string): string
}

/** The live sessions of a user, the newest activity first. */
export async function sessionsOfUser (name: string, { store, lifetimes, now, handleOf }: UserSessionsContext): Promise<UserSession[]> {
  const sessions: UserSession[] = []
  await eachInSlices(await storedSessionsOf(name, store), ({ key, record }) => {
    const { createdAt, seenAt, permanent, fields } = record
    const expiresAt = expiryOf(record, lifetimes)
    if (expiresAt > now()) sessions.push({ handle: handleOf(key), createdAt, seenAt, expiresAt, permanent, ...storedClient(fields) })
  })
  return sessions.sort((a, b) => b.seenAt - a.seenAt)
}

/**
 * Ends the session of a user that has this handle. Answers its key, or null if there was none: a handle is looked for
 * among the user's own sessions, so that another's is the same as none.
 */
export async function endSessionOfUser (name: string, handle: string, { store, handleOf }: Pick<UserSessionsContext, 'store' | 'handleOf'>): Promise<string | null> {
  let found: string | null = null
  await eachInSlices(await storedSessionsOf(name, store), ({ key }) => { if (handleOf(key) === handle) found = key })
  const key = found
  if (key === null) return null
  const last = await guarded('revoke', () => store.remove(key))
  return last === null ? null : key
}

/** Ends every session of a user. Answers how many. */
export async function endSessionsOfUser (name: string, store: CompleteSessionStore, onEnded?: (key: string) => void): Promise<number> {
  return namesRealm(name) ? 0 : await guarded('revoke', () => store.removeOfUser(name, undefined, onEnded))
}

async function storedSessionsOf (name: string, store: CompleteSessionStore): Promise<StoredSession[]> {
  return namesRealm(name) ? [] : await guarded('list', () => store.ofUser(name))
}
