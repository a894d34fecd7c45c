import { deepEqual, equal } from 'node:assert/strict'
import type { Replaced, SessionRecord } from '../record.js'
import type { SessionStore } from '../sessions.js'

/** Asserts some members of an object. */
export function assertIncludes (actual: object | null, expected: object): void {
  deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, Reflect.get(actual ?? {}, key)])), expected)
}

/** Asserts the keys of the sessions of a user, if the store can list them. */
export async function assertListed (store: SessionStore, user: string, keys: readonly string[]): Promise<void> {
  if (store.ofUser === undefined) return
  const sessions = await store.ofUser(user)
  deepEqual(sessions.map(({ key }) => key), keys)
  for (const { key, record } of sessions) deepEqual(record, await store.read(key))
}

/** Asserts the number of records, if the store can count them. */
export async function assertCount (store: SessionStore, count: number, message?: string): Promise<void> {
  if (store.count !== undefined) equal(await store.count(), count, message)
}

/** Sweeps until nothing is left to drop, if the store can sweep. */
export async function sweepAll (store: SessionStore): Promise<void> {
  while ((await store.sweep?.(5) ?? 0) > 0);
}

/** Returns each key with a live record, and the record. */
export async function living (store: SessionStore, keys: readonly string[]): Promise<Array<[string, SessionRecord]>> {
  const records = await Promise.all(keys.map((key) => store.read(key)))
  return keys.flatMap((key, i) => records[i] == null ? [] : [[key, records[i]]])
}

/** Returns the successor. Fails if nothing was replaced. */
export function nextOf (replaced: Replaced): SessionRecord | null {
  equal(replaced.outcome, 'replaced')
  return replaced.outcome === 'replaced' ? replaced.next : null
}

/** Waits for some turns of the event loop. */
export async function turns (count: number): Promise<void> {
  for (let left = count; left > 0; left--) await new Promise((resolve) => { setImmediate(resolve) })
}
