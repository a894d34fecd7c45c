import type { Test } from 'tap'
import { openMemory } from '../../plugins/storage/memory/open.js'
import type { AccountStore } from '../../plugins/store/accounts.js'
import { replaceInTwoSteps } from '../../plugins/store/replace-in-two-steps.js'
import type { CompleteSessionStore as SessionStore } from '../../plugins/store/traits.js'
import { gate } from '../helper.js'
import { openLmdb } from './open-lmdb.js'

export const kinds = ['memory:', 'lmdb:'] as const
export type Kind = typeof kinds[number]

/** A real store for one test, closed with it. */
export function openStore (t: Test, kind: Kind, options: Parameters<typeof openEngine>[2] = {}): SessionStore {
  return openEngine(t, kind, options).sessions
}

/** The same store with its accounts. */
export function openEngine (
  t: Test,
  kind: Kind,
  { now = Date.now, maxBytes = 16_384, folder = kind === 'lmdb:' ? t.testdir() : '' }: { now?: () => number, maxBytes?: number, folder?: string } = {}
): { sessions: SessionStore, accounts: AccountStore } {
  const storage = kind === 'memory:' ? openMemory({ now, maxBytes }) : openLmdb(folder, { now, maxBytes }, { info () {}, warn () {} })
  t.teardown(() => storage.close())
  return storage
}

export type StoreCall = Exclude<keyof SessionStore, 'sync' | 'keepsLimit' | 'accounts' | 'attempts'>

/**
 * A real store with a function before each of its calls: the call continues when the function's promise resolves, and fails
 * with the error that it throws. A test uses it to count calls, force their order, and take a store down.
 */
export function watched (store: SessionStore, lookOut: (call: StoreCall, key: unknown) => Promise<void> | void, sync = store.sync): SessionStore {
  const pass = (name: StoreCall) => (...args: unknown[]): never => {
    const run = (): unknown => (store[name] as (...args: unknown[]) => unknown)(...args)
    const look = (): unknown => {
      const pause = lookOut(name, args[0])
      return pause === undefined ? run() : pause.then(run)
    }
    return (sync ? look() : Promise.resolve().then(look)) as never
  }
  return {
    sync,
    ...store.keepsLimit !== undefined && { keepsLimit: store.keepsLimit },
    read: pass('read'),
    create: pass('create'),
    patch: pass('patch'),
    touch: pass('touch'),
    remove: pass('remove'),
    replace: pass('replace'),
    ofUser: pass('ofUser'),
    removeOfUser: pass('removeOfUser'),
    take: pass('take'),
    count: pass('count'),
    sweep: pass('sweep'),
    ping: pass('ping'),
    close: pass('close'),
    successor: (key) => store.successor(key)
  }
}

/** The same store, but replacing a session in two steps, each of which is a call. */
export function inTwoSteps (store: SessionStore): SessionStore {
  return Object.assign(store, { replace: (...change: Parameters<SessionStore['replace']>) => replaceInTwoSteps(store, ...change) })
}

/** A point at which a request stops until the test releases it. */
export function stop (): { here: () => Promise<void>, reached: Promise<void>, go: () => void } {
  const [arrival, departure] = [gate(), gate()]
  return {
    async here () {
      arrival.open()
      await departure.passed
    },
    reached: arrival.passed,
    go: departure.open
  }
}

/** A store that can fail altogether or for some calls, and recover. */
export function breakable (store: SessionStore, sync = store.sync): { store: SessionStore, down: (...calls: StoreCall[]) => void, up: () => void } {
  let broken: readonly StoreCall[] = []
  return {
    store: watched(store, (call) => {
      if (broken.includes(call)) throw Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' })
    }, sync),
    down (...calls) { broken = calls.length > 0 ? calls : ['read', 'create', 'patch', 'take', 'touch', 'remove', 'replace', 'ofUser', 'removeOfUser', 'count', 'sweep', 'ping'] },
    up () { broken = [] }
  }
}
