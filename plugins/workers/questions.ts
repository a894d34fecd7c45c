import { deadline } from '../common/deadline.js'

/** One end of what connects a worker with the primary. */
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
  /** Missing if there is none. */
  value?: unknown
}

let lastId = 0

/**
 * Asks the other end.
 *
 * @throws Error if it does not answer in this time.
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

/** Answers one question of the other end, as often as it is asked. Returns what ends that. */
export function answer (channel: Channel, text: string, make: () => Promise<unknown>): () => void {
  const take = (message: unknown): void => {
    if (!isOfKind<Question>(message, 'question') || message.text !== text) return
    const { id } = message
    // Who has asked may be gone.
    const tell = (value?: unknown): void => { channel.send?.({ hatcheck: 'answer', id, value } satisfies Answer, () => {}) }
    make().then(tell, () => { tell() })
  }
  channel.on('message', take)
  return () => { channel.off('message', take) }
}

function isOfKind<M extends { hatcheck: string }> (message: unknown, kind: M['hatcheck']): message is M {
  return (message as Partial<M> | null)?.hatcheck === kind
}
