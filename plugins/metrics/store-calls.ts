import { wrapStore, type CompleteSessionStore, type StoreCall, type StoreMethod } from '../store/traits.js'
import { Durations, histogram } from './durations.js'
import { counter, samplesBy, type Family } from './family.js'

/** The calls of a store that are measured. */
const OPERATIONS = ['read', 'create', 'patch', 'take', 'touch', 'remove', 'replace', 'ofUser', 'removeOfUser', 'count', 'sweep', 'ping'] as const satisfies StoreMethod[]

type Operation = typeof OPERATIONS[number]

/** Measures the calls of a store: their durations and failures. */
export class StoreCalls {
  readonly #durations = new Map<Operation, Durations>(OPERATIONS.map((operation) => [operation, new Durations()]))
  readonly #errors = Object.fromEntries(OPERATIONS.map((operation) => [operation, 0])) as Record<Operation, number>

  /** Wraps a store so that its calls are counted. A synchronous call stays synchronous. */
  measured (store: CompleteSessionStore): CompleteSessionStore {
    return wrapStore(store, (method, call) => isOperation(method) ? this.#measuredCall(store, method) : call)
  }

  families (): Family[] {
    return [
      histogram('hatcheck_store_operation_duration_seconds', 'Time in seconds that a call of the session store took, by operation.', 'operation',
        () => [...this.#durations].filter(([, { isEmpty }]) => !isEmpty)),
      counter('hatcheck_store_errors_total', 'Failed calls of the session store, by operation.', () => samplesBy('operation', this.#errors))
    ]
  }

  #measuredCall (store: CompleteSessionStore, operation: Operation): StoreCall {
    const durations = this.#durations.get(operation) as Durations
    const done = (begun: number): void => { durations.observe(performance.now() - begun) }
    const failed = (error: unknown, begun: number): void => {
      if (isFailure(error)) this.#errors[operation]++
      done(begun)
    }
    return (...args) => {
      const begun = performance.now()
      let answer: unknown
      try {
        answer = (store[operation] as StoreCall)(...args)
      } catch (error) {
        failed(error, begun)
        throw error
      }
      if (answer instanceof Promise) answer.then(() => { done(begun) }, (error: unknown) => { failed(error, begun) })
      else done(begun)
      return answer
    }
  }
}

function isOperation (method: StoreMethod): method is Operation {
  return OPERATIONS.some((operation) => operation === method)
}

/** Tells failures of the store from errors of the caller, such as a session that is too large, or a call that the store lacks (501). */
function isFailure (error: unknown): boolean {
  const { statusCode = 500 } = error as { statusCode?: number }
  return statusCode >= 500 && statusCode !== 501
}
