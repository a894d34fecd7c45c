import { syncBuiltinESMExports } from 'node:module'
import type { Test } from 'tap'

/** Records each call of a method, also of a prototype or a Node module, with its object, first argument and result. Ends with the test. */
export function noteCalls<T extends object> (t: Test, object: T, name: keyof T & string, note: (self: unknown, argument: unknown, result: unknown) => void): void {
  const method = object[name] as (...args: unknown[]) => unknown
  const replace = (value: unknown): void => {
    Object.defineProperty(object, name, { value, writable: true, configurable: true })
    syncBuiltinESMExports()
  }
  replace(function (this: unknown, ...args: unknown[]) {
    const result = Reflect.apply(method, this, args)
    note(this, args[0], result)
    return result
  })
  t.teardown(() => { replace(method) })
}
