import { DeadlineError, deadline } from '../../common/deadline.js'
import { SessionTooLargeError, StoreUnavailableError, storeUnavailable, textOf } from '../../store/errors.js'

/** The limits of the calls to a store over a connection. */
export interface CallLimits {
  /**
   * How long a call may wait for its answer, in ms. A call that fails by this may still be carried out.
   *
   * @default 250
   */
  deadlineMs?: number
  /**
   * How many calls may wait for an answer, including those past their deadline, which the connection may still hold. One more
   * fails at once.
   *
   * @default 10_000
   */
  mostInFlight?: number
  /**
   * How long after its deadline a call without an answer keeps its place, in ms. After that the answer counts as lost.
   *
   * @default 60_000
   */
  lostMs?: number
  /** Observes the beginning and the end of each call. */
  connection?: ConnectionUse
}

/** Observes the calls over a connection. */
export interface ConnectionUse {
  /** Called when a call begins. If it returns a promise, the call waits for it; its deadline runs meanwhile. */
  begin (): Promise<void> | undefined
  /** Called when a call has ended. */
  end (hasFailed: boolean): void
}

/** Makes a call within the limits. */
export type BoundedCall = <T>(doing: string, call: () => Promise<T>) => Promise<T>

/**
 * Bounds the calls over a connection in time and in number, and wraps what they throw with {@link storeUnavailable}. The
 * cause has a message and nothing else, because the errors of a client carry what was sent.
 */
export function boundedCalls ({ deadlineMs = 250, mostInFlight = 10_000, lostMs = 60_000, connection }: CallLimits = {}): BoundedCall {
  let inFlight = 0
  return (doing, call) => new Promise((resolve, reject) => {
    const fail = (error: unknown): void => { reject(storeUnavailable(plainError(error), doing)) }
    if (inFlight >= mostInFlight) {
      fail(new Error(`${inFlight} calls have no answer yet`))
      return
    }
    inFlight++
    let lost: NodeJS.Timeout | undefined
    let hasPlace = true
    const leave = (): void => {
      if (hasPlace) inFlight--
      hasPlace = false
    }
    const cancel = deadline(deadlineMs, () => {
      reject(storeUnavailable(new DeadlineError(`no answer within ${deadlineMs} ms`), doing))
      lost = setTimeout(leave, lostMs).unref()
    })
    const ended = (hasFailed: boolean): void => {
      clearTimeout(lost)
      leave()
      connection?.end(hasFailed)
      cancel()
    }
    started(call, connection?.begin()).then((result) => {
      resolve(result)
      ended(false)
    }, (error: unknown) => {
      fail(error)
      ended(true)
    })
  })
}

/** The reason of a call that found no connection, or lost it. */
export const NO_CONNECTION = 'there is no connection'

/** ioredis then names options of its own, which mean nothing to the reader of the log. */
const WITHOUT_CONNECTION = /^(?:Stream isn't writeable and enableOfflineQueue|Reached the max retries per request limit|Connection is closed\b)/

/**
 * Returns the error without what was sent: its arguments may be a password or the data of a session. An error of a bounded call
 * within this one is plain already, and has the reason; a session that is too large is no failure of the store.
 */
export function plainError (error: unknown): Error {
  if (error instanceof StoreUnavailableError || error instanceof SessionTooLargeError) return error
  const text = textOf(error)
  return new Error(WITHOUT_CONNECTION.test(text) ? NO_CONNECTION : text.replace(/, with args beginning with: .*/s, ''))
}

/** A client may throw before it has a promise. */
function started<T> (call: () => Promise<T>, ready: Promise<void> | undefined): Promise<T> {
  if (ready !== undefined) return ready.then(call)
  try {
    return call()
  } catch (error) {
    return Promise.reject(error)
  }
}
