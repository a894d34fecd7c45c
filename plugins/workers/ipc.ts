import { deadline } from '../common/deadline.js'

/** One end of the connection between a worker and the primary. */
export interface Channel {
  send? (message: object, done: (error: Error | null) => void): unknown
  on (event: 'message', listener: (message: unknown) => void): unknown
  off (event: 'message', listener: (message: unknown) => void): unknown
}

/** The message between workers, passed on by the primary: this session must be refused. */
export interface SessionRefused {
  hatcheck: 'refuse'
  key: string
}

interface RequestMessage {
  hatcheck: 'request'
  id: number
  what: string
}

interface ResponseMessage {
  hatcheck: 'response'
  id: number
  /** Missing if the other end could not respond. */
  value?: unknown
}

let lastId = 0

/**
 * Sends a request to the other end and resolves to the value of its response.
 *
 * @param what one of a few constants, the same that {@link respondTo} has there
 * @throws Error if no response arrives within `waitMs`.
 */
export async function requestFrom (channel: Channel, what: string, waitMs: number): Promise<unknown> {
  const id = ++lastId
  return await new Promise((resolve, reject) => {
    const fail = (): void => {
      end()
      reject(new Error(`no response to "${what}"`))
    }
    const take = (message: unknown): void => {
      if (!isOfKind<ResponseMessage>(message, 'response') || message.id !== id) return
      if (message.value === undefined) return fail()
      end()
      resolve(message.value)
    }
    const inTime = deadline(waitMs, fail)
    const end = (): void => {
      inTime()
      channel.off('message', take)
    }
    channel.on('message', take)
    channel.send?.({ hatcheck: 'request', id, what } satisfies RequestMessage, (error) => { if (error !== null) fail() })
  })
}

/** Responds to each such request of the other end. Returns a function that stops it. */
export function respondTo (channel: Channel, what: string, make: () => Promise<unknown>): () => void {
  const take = (message: unknown): void => {
    if (!isOfKind<RequestMessage>(message, 'request') || message.what !== what) return
    const { id } = message
    // The process that sent it may have ended: without a callback, the failed send would be an uncaught error.
    const send = (value?: unknown): void => { channel.send?.({ hatcheck: 'response', id, value } satisfies ResponseMessage, () => {}) }
    make().then(send, () => { send() })
  }
  channel.on('message', take)
  return () => { channel.off('message', take) }
}

export function isSessionRefused (message: unknown): message is SessionRefused {
  return isOfKind<SessionRefused>(message, 'refuse')
}

function isOfKind<M extends { hatcheck: string }> (message: unknown, kind: M['hatcheck']): message is M {
  return (message as Partial<M> | null)?.hatcheck === kind
}
