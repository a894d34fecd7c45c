import { flashesOf } from '../../plugins/session/request/flash-messages.js'
import { CLIENT_FIELD } from '../../plugins/store/identity.js'
import type { SessionRecord } from '../../plugins/store/sessions.js'

/** One step of a handler. */
export type Step = ValueStep | CallStep | { do: 'pause' }

export type ValueStep =
  | { do: 'set', key: string, value: string }
  /** Adds to a list that is a value of the session, without assigning it again. */
  | { do: 'push', value: string }
  | { do: 'delete', key: string }
  /** Takes `client_name` out, which is a logout. */
  | { do: 'pop' }
  | { do: 'permanent', value: boolean }
  | { do: 'flash', text: string }

export interface CallStep {
  do: 'call'
  call: CallName
  /** How a call is awaited: awaited; awaited with its rejection caught; not awaited; awaited with Promise.all at the end. */
  how: 'await' | 'catch' | 'leave' | 'later'
  user: string
  /** A login that sets a value and is permanent. */
  withData: boolean
  /** The keys of a regenerate. */
  keys: 'none' | 'some' | 'all'
}

export type CallName = 'login' | 'logout' | 'destroy' | 'regenerate' | 'save' | 'reload' | 'flashes'

/** The value that a login with data sets. */
export const LOGIN_DATA = { role: 'guest' }

/** A step that a handler has taken, and its outcome. */
export interface Taken {
  step: ValueStep | CallStep | { do: 'answer' }
  outcome: 'pending' | 'done' | 'failed'
  error: unknown
  /** The keys that a regenerate was given. */
  keys: readonly string[]
  /** The result of a call of `flashes`. */
  flashes: readonly string[]
  /** Whether the response was sent before the step. */
  isLate: boolean
}

/** A session as its user knows it. */
export interface Known {
  user: string | null
  permanent: boolean
  data: Record<string, unknown>
  flashes: readonly string[]
}

/**
 * The session of one request as DESIGN promises it: steps take effect in the order of the program, a failed call changes
 * nothing, and values wait for the next call or for the response.
 */
export class CallModel {
  #stored: Known | null
  #data: Record<string, unknown>
  #flashes: readonly string[]
  #permanent: boolean | null = null
  #shown: readonly string[] | null = null

  constructor (stored: Known | null) {
    this.#stored = stored
    this.#data = { ...stored?.data }
    this.#flashes = stored?.flashes ?? []
  }

  /** The session in the store. */
  get stored (): Known | null { return this.#stored }

  /** Returns the expected result of a call of `flashes`. */
  take ({ step, outcome, keys }: Taken): readonly string[] | undefined {
    if (step.do === 'call') return this.#call(step, outcome === 'done', keys)
    if (outcome !== 'done') return undefined
    switch (step.do) {
      case 'set': this.#data = { ...this.#data, [step.key]: step.value }; return
      case 'push': this.#data = { ...this.#data, list: [...this.#data['list'] as string[] | undefined ?? [], step.value] }; return
      case 'delete': this.#data = without(this.#data, step.key); return
      case 'pop': this.#data = without(this.#data, 'client_name'); return
      case 'permanent': this.#permanent = step.value; return
      case 'flash': this.#flashes = [...this.#flashes, step.text]; return
      case 'answer': this.#save()
    }
  }

  #call ({ call, user, withData }: CallStep, isDone: boolean, keys: readonly string[]): readonly string[] | undefined {
    if (call === 'logout' || call === 'destroy') return this.#open(null)
    if (!isDone) return
    switch (call) {
      case 'login': {
        const before = this.#stored?.user ?? user
        if (before !== user) [this.#data, this.#flashes] = [{}, []]
        this.#data = { ...this.#data, ...withData && LOGIN_DATA, client_name: user }
        this.#permanent = withData || (this.#permanent ?? false)
        return this.#store(user)
      }
      case 'regenerate':
        this.#data = Object.fromEntries(Object.entries(this.#data).filter(([key]) => keys.includes(key)))
        this.#flashes = []
        if (this.#stored !== null) this.#storeOrEnd()
        return
      case 'save': return this.#save()
      case 'reload': return this.#open(this.#stored)
      case 'flashes':
        if (this.#shown === null) {
          this.#shown = this.#flashes
          this.#flashes = []
          if (this.#stored !== null) this.#stored = { ...this.#stored, flashes: [] }
        }
        return this.#shown
    }
  }

  #save (): undefined {
    if (this.#stored !== null) {
      if (this.#userNow === null && this.#stored.user !== null) return this.#storeOrEnd()
      return this.#store(this.#userNow)
    }
    if (!this.#isEmpty) this.#store(null)
  }

  /** A session that loses its user or its last value has ended. */
  #storeOrEnd (): undefined {
    const user = this.#userNow
    if (user === null) this.#data = without(this.#data, 'client_name')
    if (!this.#isEmpty) return this.#store(user)
    this.#stored = null
    this.#permanent = null
  }

  #store (user: string | null): undefined {
    this.#stored = { user, permanent: this.#permanent ?? this.#stored?.permanent ?? false, data: this.#data, flashes: this.#flashes }
    this.#permanent = null
  }

  #open (stored: Known | null): undefined {
    this.#stored = stored
    this.#data = { ...stored?.data }
    this.#flashes = stored?.flashes ?? []
    this.#permanent = null
  }

  get #userNow (): string | null {
    const user = this.#stored?.user ?? null
    return this.#data['client_name'] === user ? user : null
  }

  get #isEmpty (): boolean {
    return Object.keys(this.#data).length === 0 && this.#flashes.length === 0
  }
}

/** A record as the model expects it. */
export function knownOf (record: SessionRecord | null): Known | null {
  if (record === null) return null
  const { user, permanent, fields } = record
  const { authenticatedAt: _time, [CLIENT_FIELD]: _client, ...others } = fields
  const data = Object.entries(others).filter(([key]) => !key.startsWith('hatcheck:')).map(([key, text]) => [key, JSON.parse(text) as unknown])
  return { user, permanent, data: Object.fromEntries(data), flashes: flashesOf(fields).map(({ text }) => text) }
}

function without (data: Record<string, unknown>, key: string): Record<string, unknown> {
  const { [key]: _left, ...others } = data
  return others
}
