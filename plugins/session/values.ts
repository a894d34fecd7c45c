import { RESERVED } from './facade.js'
import { OWN_PREFIX, fromJson, toJson } from './fields.js'
import type { SessionFields } from './store.js'

/** Which values a call takes along. */
export type Keep = 'all' | readonly string[]

/** The changes that a call takes to the store. Values that are set after the call began are not among them. */
export interface Cut {
  /** The keys that go along; null is all of them. */
  keep: ReadonlySet<string> | null
  set: Record<string, string>
  remove: Set<string>
  /** What was set, to be put back if the call fails. */
  readonly live: ReadonlyMap<string, unknown> | null
}

/** What has to be set and removed in the store. */
interface Difference {
  set: Record<string, string>
  remove: string[]
}

const REMOVED = Symbol('removed')

/**
 * The values of a session: copy on write over the stored fields.
 *
 * A value is parsed when it is read. An object that was read is compared with its stored text when the session is
 * written, so that a change within it is seen.
 */
export class Values {
  /** What the store holds, as far as this request knows. */
  #stored: SessionFields
  /** The changes of calls under way, oldest first. */
  readonly #cuts: Cut[] = []
  /** What was set, removed, or read as an object. */
  #live: Map<string, unknown> | null = null

  constructor (stored: SessionFields) {
    this.#stored = stored
  }

  get stored (): SessionFields {
    return this.#stored
  }

  /** Whether this key may be another value than the stored one. */
  mayDiffer (key: string): boolean {
    return this.#cuts.length > 0 || this.#live?.has(key) === true
  }

  /** Whether no value can have changed. */
  get isPristine (): boolean {
    return this.#live === null && this.#cuts.length === 0
  }

  has (key: string): boolean {
    if (isHidden(key)) return false
    const live = this.#live?.get(key)
    return live === undefined ? this.#textOf(key) !== undefined : live !== REMOVED
  }

  get (key: string): unknown {
    if (isHidden(key)) return undefined
    const live = this.#live?.get(key)
    if (live !== undefined) return live === REMOVED ? undefined : live
    const value = fromJson(this.#textOf(key))
    if (typeof value === 'object' && value !== null) this.put(key, value)
    return value
  }

  keys (): string[] {
    return [...this.#names()].filter((key) => this.has(key))
  }

  /** Sets a value that `toJson` has accepted, or a field of hatcheck's own. */
  put (key: string, value: unknown): void {
    this.#live ??= new Map()
    this.#live.set(key, value)
  }

  delete (key: string): void {
    this.put(key, REMOVED)
  }

  /** Takes out the fields with this prefix, given what the store has of them. Answers all of them as texts. */
  take (prefix: string, stored: SessionFields): SessionFields {
    const taken: Record<string, string> = { ...stored }
    for (const [key, value] of this.#live ?? []) {
      if (!key.startsWith(prefix) || value === REMOVED) continue
      taken[key] = toJson(key, value)
      this.#live?.delete(key)
    }
    if (this.#live?.size === 0) this.#live = null
    this.#stored = Object.fromEntries(Object.entries(this.#stored).filter(([key]) => !Object.hasOwn(stored, key)))
    return taken
  }

  /** Whether a stored field with this prefix is still to be seen. */
  hasStored (prefix: string): boolean {
    return Object.keys(this.#stored).some((key) => key.startsWith(prefix) && this.#textOf(key) !== undefined)
  }

  toObject (): Record<string, unknown> {
    return Object.fromEntries(this.keys().map((key) => [key, this.get(key)]))
  }

  /**
   * What has to be set and removed in the store.
   *
   * @param keys the keys that matter; null is all of them.
   * @throws SessionValueError
   */
  difference (keys: ReadonlySet<string> | null = null): Difference {
    const set: Record<string, string> = {}
    const remove: string[] = []
    for (const [key, value] of this.#live ?? []) {
      if (keys?.has(key) === false) continue
      const before = this.#textOf(key)
      const text = value === REMOVED ? undefined : toJson(key, value)
      if (text === before) continue
      if (text === undefined) remove.push(key)
      else set[key] = text
    }
    return { set, remove }
  }

  /**
   * Takes the changes so far, for a call to write. It ends with {@link landed} or {@link returned}.
   *
   * @param difference if it is known already.
   * @throws SessionValueError, and nothing is taken.
   */
  cut (keep: Keep = 'all', difference?: Difference): Cut {
    const keys = keep === 'all' ? null : new Set(keep)
    const { set, remove } = difference ?? this.difference(keys)
    const cut: Cut = { keep: keys, set, remove: new Set(remove), live: this.#live }
    this.#cuts.push(cut)
    if (this.#live !== null) {
      // A handler may hold an object and change it after this.
      const objects = [...this.#live].filter(([key, value]) => typeof value === 'object' && keys?.has(key) !== false)
      this.#live = objects.length === 0 ? null : new Map(objects)
    }
    return cut
  }

  /** Leaves everything behind that was there before the cut. */
  empty (cut: Cut): void {
    cut.keep = new Set()
    cut.set = {}
    this.leave(cut, cut.live?.keys() ?? [])
  }

  /** Leaves behind what was there under these keys before the cut. */
  leave ({ live }: Cut, keys: Iterable<string>): void {
    for (const key of keys) if (this.#live?.get(key) === live?.get(key)) this.#live?.delete(key)
  }

  /** The call has succeeded: these fields are stored now. */
  landed (cut: Cut, stored: SessionFields): void {
    this.#drop(cut)
    this.#stored = stored
  }

  /** The call has failed, or had nothing to do: the changes wait for the next one. */
  returned (cut: Cut, keys: ReadonlySet<string> | null = null): void {
    if (!this.#drop(cut)) return
    for (const [key, value] of cut.live ?? []) if (this.#live?.has(key) !== true && keys?.has(key) !== false) this.put(key, value)
  }

  /** Takes the fields as they are stored now, and forgets every change that is not. */
  reset (stored: SessionFields): void {
    this.#stored = stored
    this.#live = null
  }

  #drop (cut: Cut): boolean {
    const at = this.#cuts.indexOf(cut)
    if (at === -1) return false
    this.#cuts.splice(at, 1)
    if (this.#live?.size === 0) this.#live = null
    return true
  }

  #names (): Set<string> {
    return new Set([...Object.keys(this.#stored), ...this.#cuts.flatMap(({ set }) => Object.keys(set)), ...this.#live?.keys() ?? []])
  }

  /** The text of a field as it is once the calls under way have succeeded. */
  #textOf (key: string): string | undefined {
    for (let i = this.#cuts.length - 1; i >= 0; i--) {
      const { keep, set, remove } = this.#cuts[i] as Cut
      if (Object.hasOwn(set, key)) return set[key]
      if (remove.has(key) || keep?.has(key) === false) return undefined
    }
    return Object.hasOwn(this.#stored, key) ? this.#stored[key] : undefined
  }
}

/** Whether no handler can see a value of this name. */
function isHidden (key: string): boolean {
  return RESERVED.has(key) || key.startsWith(OWN_PREFIX)
}
