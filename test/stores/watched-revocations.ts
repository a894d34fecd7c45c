import type { Test } from 'tap'
import { MemoryRevocations } from '../../plugins/storage/memory/revocations.js'

export type RevocationCall = 'lookUp' | 'end' | 'endAll' | 'successor'

/**
 * Calls a function before each call of the revocations in memory, until the test ends: it throws to take them down, and
 * counts them. Applications with the store `cookie:memory:` have no other place for it.
 */
export function watchRevocations (t: Test, lookOut: (call: RevocationCall, key: string) => void): void {
  const { prototype } = MemoryRevocations
  for (const name of ['lookUp', 'end', 'endAll', 'successor'] satisfies RevocationCall[]) {
    const original = prototype[name] as (...args: unknown[]) => unknown
    const watched = function (this: MemoryRevocations, ...args: unknown[]): unknown {
      lookOut(name, String(args[0]))
      return original.apply(this, args)
    }
    Object.assign(prototype, { [name]: watched })
    t.teardown(() => { Object.assign(prototype, { [name]: original }) })
  }
}
