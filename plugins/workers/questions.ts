import { deadline } from '../common/deadline.js'

/** One end of the connection between a worker and the primary. */
export interface Channel {
  send? (message: object, done: (error: Error | null) => void): unknown
  on (event: 'message', listener: (message: unknown) => void): unknown
  off (event: 'message', listener: (message: unknown) => void): unknown
}

interface Question {
  hatcheck: 'question'
  id: number
  text: string
}

interface Answer {
  hatcheck: 'answer'
  id: number
  /** Missing if the other end could not answer. */
  value?: unknown
}

let lastId = 0

/**
 * Asks the other end a question and resolves to its answer.
 *
 * @throws Error if no answer arrives within `waitMs`.
 */
export async function ask (channel: Channel, text: string, waitMs: number): Promise<unknown> {
  const id = ++lastId
  return await new Promise((resolve, reject) => {
    const fail = (): void => {
      end()
      reject(new Error(`no answer to "${text}"`))
    }
    const take = (message: unknown): void => {
      if (!isOfKind<Answer>(message, 'answer') || message.id !== id) return
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
    channel.send?.({ hatcheck: 'question', id, text } satisfies Question, (error) => { if (error !== null) fail() })
  })
}

/** Answers a question each time the other end asks it. Returns a function that stops answering. */
export function answer (channel: Channel, text: string, make: () => Promise<unknown>): () => void {
  const take = (message: unknown): void => {
    if (!isOfKind<Question>(message, 'question') || message.text !== text) return
    const { id } = message
    // The process that asked may have ended: without a callback, the failed send would be an uncaught error.
    const tell = (value?: unknown): void => { channel.send?.({ hatcheck: 'answer', id, value } satisfies Answer, () => {}) }
    make().then(tell, () => { tell() })
  }
  channel.on('message', take)
  return () => { channel.off('message', take) }
}

function isOfKind<M extends { hatcheck: string }> (message: unknown, kind: M['hatcheck']): message is M {
  return (message as Partial<M> | null)?.hatcheck === kind
}
