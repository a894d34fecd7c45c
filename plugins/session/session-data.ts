import { RESERVED } from './facade.js'
import { fromJson, toJson } from './json.js'
import { OWN_PREFIX } from './own-fields.js'
import type { MakeRealSession, RealSession } from './real-session.js'
import type { SessionChanges, SessionFields } from './store.js'
import type { Ticket } from './ticket.js'

/**
 * The data of a session: copy on write over the stored fields.
 *
 * It parses a value only when that value is read. The first change makes a session of `@fastify/session` from it, which
 * holds the data from then on.
 */
export class SessionData {
  readonly #fields: SessionFields
  readonly #ticket: Ticket | null
  readonly #make: MakeRealSession
  /** Objects that have been read: what is within them may be changed. */
  #objects: Map<string, object> | null = null
  #real: RealSession | null = null

  /** @param ticket null for a session that is not stored yet: it gets a new id. */
  constructor (fields: SessionFields, ticket: Ticket | null, make: MakeRealSession) {
    this.#fields = fields
    this.#ticket = ticket
    this.#make = make
  }

  /** Whether a session of `@fastify/session` holds the data. */
  get isReal (): boolean { return this.#real !== null }

  /** Whether nothing can have changed. */
  get isPristine (): boolean { return this.#real === null && this.#objects === null }

  /** The session of `@fastify/session`. */
  get real (): RealSession['current'] { return this.materialise().current }

  has (key: string): boolean {
    return this.#real === null ? this.#textOf(key) !== undefined : key !== 'cookie' && Object.hasOwn(this.#real.current, key)
  }

  get (key: string): unknown {
    if (this.#real !== null) return this.has(key) ? this.#real.current[key] : undefined
    const object = this.#objects?.get(key)
    if (object !== undefined) return object
    const value = fromJson(this.#textOf(key))
    if (typeof value === 'object' && value !== null) {
      this.#objects ??= new Map()
      this.#objects.set(key, value)
    }
    return value
  }

  keys (): string[] {
    return Object.keys(this.#real === null ? this.#fields : this.#real.current).filter((key) => this.has(key))
  }

  set (key: string, value: unknown): void {
    this.real[key] = value
  }

  delete (key: string): void {
    delete this.real[key]
  }

  /** A new id, with the values of these keys. */
  regenerate (keys: readonly string[]): void {
    // @fastify/session would copy what is not there as well, and a method whose name is given.
    this.materialise().regenerate(keys.filter((key) => this.has(key)))
  }

  toObject (): Record<string, unknown> {
    return Object.fromEntries(this.keys().map((key) => [key, this.get(key)]))
  }

  /** What has to be set and removed to make the data of these fields. */
  difference (before: SessionFields): Pick<SessionChanges, 'set' | 'remove'> {
    const set: Record<string, string> = {}
    const remove: string[] = []
    if (this.#real !== null) {
      for (const key of this.keys()) compare(before, set, key, this.get(key))
      for (const key in before) if (!key.startsWith(OWN_PREFIX) && !this.has(key)) remove.push(key)
    } else if (this.#objects !== null) {
      for (const [key, object] of this.#objects) compare(before, set, key, object)
    }
    return { set, remove }
  }

  /** Makes the session of `@fastify/session`, unless that is done. */
  materialise (): RealSession {
    if (this.#real !== null) return this.#real
    const data = this.toObject()
    // A stored value that is no JSON has been lost already.
    for (const key in data) if (data[key] === undefined) delete data[key]
    this.#real = this.#make(this.#ticket, data)
    return this.#real
  }

  #textOf (key: string): string | undefined {
    return Object.hasOwn(this.#fields, key) && !RESERVED.has(key) && !key.startsWith(OWN_PREFIX) ? this.#fields[key] : undefined
  }
}

function compare (before: SessionFields, set: Record<string, string>, key: string, value: unknown): void {
  const text = toJson(key, value)
  if (!Object.hasOwn(before, key) || before[key] !== text) set[key] = text
}
