import { spawn } from 'node:child_process'
import type { Test } from 'tap'
import { changesOf } from '../../plugins/store/contract/index.js'
import type { SessionRecord, SessionStore } from '../../plugins/store/sessions.js'
import { compiledFixture } from './child.js'
import { askByLines } from './line-process.js'

/** Calls a method of the store in the other process, and returns its result. */
export type StoreCall = (method: string, ...args: unknown[]) => Promise<unknown>

/** Another process with the store open. It makes its calls one after another, and ends with the test. */
export function startStoreProcess (t: Test, url: string): StoreCall {
  const child = spawn(process.execPath, [compiledFixture('store-child'), url],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } })
  return askByLines(t, child, 'the other process')
}

/** Checks that no change is lost, and that a session ends once, if this process and the other one write to it at the same time. */
export async function writeTogether (t: Test, store: SessionStore, call: StoreCall, record: SessionRecord): Promise<void> {
  await store.create('both', { ...record, user: null, fields: {} })
  const keys = Array.from({ length: 100 }, (_, i) => `field${i}`)
  await Promise.all(keys.map((key, i) => i % 2 === 0
    ? store.patch('both', changesOf({ set: { [key]: '1' } }))
    : call('patch', 'both', changesOf({ set: { [key]: '1' } }))))
  t.strictSame(Object.keys((await store.read('both'))?.fields ?? {}).sort(), keys.sort(), 'no update is lost between them')
  const removals = await Promise.all([...Array.from({ length: 10 }, () => store.remove('both')), call('remove', 'both')])
  t.equal(removals.filter((last) => last !== null).length, 1, 'one of them ends it')
}
