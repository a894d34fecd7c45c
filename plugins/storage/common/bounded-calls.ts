import { deadline } from '../../common/deadline.js'
import { storeUnavailable } from '../../store/errors.js'

export interface CallLimits {
  /**
   * A call that has no answer by then has failed, in ms. What it was to write may still be written.
   *
   * @default 250
   */
  deadlineMs?: number
  /**
   * Calls without an answer, those past their deadline included: the connection still keeps them. One more fails at once.
   *
   * @default 10_000
   */
  mostInFlight?: number
  /** Told of each call from its begin to its end. */
  connection?: ConnectionUse
}

export interface ConnectionUse {
  /** The call is made once the promise resolves, if there is one; its deadline runs meanwhile. */
  begin (): Promise<void> | undefined
  end (hasFailed: boolean): void
}

export type BoundedCall = <T>(doing: string, call: () => Promise<T>) => Promise<T>

/**
 * Bounds the calls over a connection, in time and in number, and wraps what they throw: {@link storeUnavailable} with a
 * cause that has a message and nothing else, since the errors of a client carry what was sent.
 */
export function boundedCalls ({ deadlineMs = 250, mostInFlight = 10_000, connection }: CallLimits = {}): BoundedCall {
  let inFlight = 0
  return (doing, call) => new Promise((resolve, reject) => {
    const fail = (error: unknown): void => { reject(storeUnavailable(plainError(error), doing)) }
    if (inFlight >= mostInFlight) {
      fail(new Error(`${inFlight} calls have no answer yet`))
      return
    }
    inFlight++
    const inTime = deadline(deadlineMs, () => { fail(new Error(`no answer within ${deadlineMs} ms`)) })
    const ended = (hasFailed: boolean): void => {
      inFlight--
      connection?.end(hasFailed)
      inTime()
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

/** The error without what was sent: its arguments may be a password or the data of a session. */
export function plainError (error: unknown): Error {
  const { message, code = 'no reason given' } = error as NodeJS.ErrnoException
  return new Error((message || String(code)).replace(/, with args beginning with: .*/s, ''))
}

/** A client may throw before it has a promise. */
async function started<T> (call: () => Promise<T>, ready: Promise<void> | undefined): Promise<T> {
  if (ready !== undefined) await ready
  return await call()
}
