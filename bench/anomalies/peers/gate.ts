import { AsyncLocalStorage } from 'node:async_hooks'

/** The address of the gates; see ../gates.ts. */
const gates = process.env['GATES'] ?? ''

/** The gate that one request is to meet at a write to the store, and how many writes come before it. */
const requests = new AsyncLocalStorage<{ armed: { gate: string, writesBefore: number } | null }>()

/** Waits until the script opens the gate. */
export async function passGate (gate: string): Promise<void> {
  await (await fetch(`${gates}/${gate}`)).text()
}

/** Runs a request, so that a gate stops its own writes and no others. */
export function inRequest<T> (handle: () => T): T {
  return requests.run({ armed: null }, handle)
}

/** Lets a write to the store by this request wait at the gate. */
export function armGate (gate: string, writesBefore: number): void {
  const request = requests.getStore()
  if (request !== undefined) request.armed = { gate, writesBefore }
}

/** Returns the gate that this write must pass, or null. */
export function armedGate (): string | null {
  const request = requests.getStore()
  if (request?.armed == null || request.armed.writesBefore-- > 0) return null
  const { gate } = request.armed
  request.armed = null
  return gate
}

/** Puts a gate before the named methods of a store, where others call them: what a method does in one step stays one step. */
export function gated<T extends object> (store: T, names: ReadonlyArray<keyof T>): T {
  let isInside = false
  for (const name of names) {
    if (typeof store[name] !== 'function') continue
    const own = store[name].bind(store) as (...args: unknown[]) => unknown
    const method = (args: unknown[]): unknown => {
      isInside = true
      try {
        return own(...args)
      } finally {
        isInside = false
      }
    }
    store[name] = ((...args: unknown[]) => {
      if (isInside) return own(...args)
      const gate = armedGate()
      return gate === null ? method(args) : passGate(gate).then(() => method(args))
    }) as T[keyof T]
  }
  return store
}
