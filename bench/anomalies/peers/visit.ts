import { armGate, passGate } from './gate.js'

/** The session of one request, through the documented calls of a peer. */
export interface Visit {
  user (): Promise<string | null> | string | null
  get (key: Key): Promise<string | undefined> | string | undefined
  set (key: Key, value: string): Promise<void> | void
  login (user: string): Promise<void> | void
  logout (): Promise<void> | void
  /** Prolongs the session, in the way that the peer documents. */
  touch (): Promise<void> | void
  /** Gives the session a new ID and keeps the user, where the peer documents a call for it. */
  renew? (): Promise<void>
  /** Ends all sessions of the user, where the peer documents a call for it. */
  revokeAll? (): Promise<void>
}

/** The values that the cases use; better-auth has to know them beforehand. */
export const KEYS = ['a', 'b', 'owner'] as const
export type Key = typeof KEYS[number]

/** What a handler sees. */
export interface Seen {
  user: string | null
  values: Partial<Record<Key, string>>
}

/**
 * Answers `/set/a/1?gate=7&at=begin`: one operation on the session, which waits at a gate. Every operation but the logout reads
 * the session first, as handlers do.
 *
 * - `begin`: between reading the session and the operation
 * - `end`: between the operation and the response
 * - `store`, `store2`: before the first or the second write of this request to the store
 */
export async function perform (url: string, visit: Visit): Promise<Seen> {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  const [, operation, first = '', second = ''] = pathname.split('/')
  const [gate, at] = [searchParams.get('gate') ?? '', searchParams.get('at')]
  if (operation !== 'logout' || at === 'begin') await visit.user()
  if (at === 'begin') await passGate(gate)
  if (at === 'store' || at === 'store2') armGate(gate, at === 'store' ? 0 : 1)
  switch (operation) {
    case 'set':
      await visit.set(first as Key, second)
      break
    case 'login':
      await visit.login(first)
      if (second !== '') await visit.set('owner', second)
      break
    case 'logout':
      await visit.logout()
      break
    case 'touch':
      await visit.touch()
      break
    case 'renew':
      await visit.renew?.()
      break
    case 'revoke-all':
      await visit.revokeAll?.()
      break
  }
  if (at === 'end') await passGate(gate)
  return operation === 'read' ? await see(visit) : { user: null, values: {} }
}

async function see (visit: Visit): Promise<Seen> {
  const values: Seen['values'] = {}
  for (const key of KEYS) {
    const value = await visit.get(key)
    if (typeof value === 'string') values[key] = value
  }
  return { user: await visit.user(), values }
}
