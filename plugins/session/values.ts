import { RESERVED } from './facade.js'
import { OWN_PREFIX, fromJson, toJson } from './fields.js'
import type { SessionFields } from '../store/sessions.js'

/** Which values a call takes along. */
export type Keep = 'all' | readonly string[]

/** The changes that a call takes to the store: those since the call before it. */
export interface Cut {
  /** The keys that go along; null is all of them. */
  keep: ReadonlySet<string> | null
  /** Whether the changes go nowhere. They come back if the call fails. */
  readonly drops: boolean
  readonly changes: Map<string, Change>
  permanent: boolean | null
  /** What has to be set in the store, once the call has begun. */
  set: Record<string, string>
  /** What has to be removed from the store, once the call has begun. */
  remove: Set<string>
}

export interface Change {
  readonly value: unknown
  /** The JSON text that it had when it was read; null if it was not read but set. */
  readonly before: string | null
  /** The JSON text that it had when the call was made; null if it was removed. */
  readonly text: string | null
}

/** A value of this request. */
type Live = Pick<Change, 'value' | 'before'>

const REMOVED = Symbol('removed')
/** Shared: most requests change nothing. */
const NONE: readonly Cut[] = []

/**
 * The values of a session: copy on write over the stored fields.
 *
 * A value is parsed when it is read. An object that was read is compared with its text when the session is written, so
 * that a change within it is seen.
 *
 * A call takes the changes that were made before it, and not those made after it, whenever it comes to act. If it fails,
 * they go to the call after it, or wait for one.
 */
export class Values {
  /** What a handler has said of `session.permanent` and no call has taken; null: nothing. */
  permanent: boolean | null = null
  /** What the store holds, as far as this request knows. */
  #stored: SessionFields
  /** The changes of calls under way, oldest first. */
  #cuts: readonly Cut[] = NONE
  /** What was set, removed, or read as an object. */
  #live: Map<string, Live> | null = null

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

  /** Whether calls are under way, which may change any value. */
  get isAwaitingCalls (): boolean {
    return this.#cuts.length > 0
  }

  /** Whether no value can have changed. */
  get isPristine (): boolean {
    return this.#live === null && this.#cuts.length === 0
  }

  /** Whether a value differs from what is stored, or will be by the calls under way. */
  get isModified (): boolean {
    if (this.isPristine) return false
    for (const [key, { text }] of this.#changes()) if (text !== (this.#textOf(key) ?? null)) return true
    return false
  }

  has (key: string): boolean {
    if (isHidden(key)) return false
    const live = this.#live?.get(key)
    return live === undefined ? this.#textOf(key) !== undefined : live.value !== REMOVED
  }

  get (key: string): unknown {
    const live = this.#live?.get(key)
    if (live !== undefined) return live.value === REMOVED || isHidden(key) ? undefined : live.value
    const text = this.#textOf(key)
    if (text === undefined || isHidden(key)) return undefined
    const value = fromJson(text)
    if (typeof value === 'object' && value !== null) this.#put(key, { value, before: text as string })
    return value
  }

  keys (): string[] {
    return [...this.#names()].filter((key) => this.has(key))
  }

  /** Sets a value that `toJson` has accepted, or a field of hatcheck's own. */
  put (key: string, value: unknown): void {
    this.#put(key, { value, before: null })
  }

  delete (key: string): void {
    this.put(key, REMOVED)
  }

  toObject (): Record<string, unknown> {
    const entries: Array<[key: string, value: unknown]> = []
    for (const key of this.#names()) {
      const value = this.get(key)
      if (value !== undefined) entries.push([key, value])
    }
    return Object.fromEntries(entries)
  }

  /** What `session.permanent` is, given what is stored, and once the calls under way have succeeded. */
  permanentOver (stored: boolean): boolean {
    if (this.permanent !== null) return this.permanent
    for (let i = this.#cuts.length - 1; i >= 0; i--) {
      const { permanent, drops, keep } = this.#cuts[i] as Cut
      if (drops && keep !== null) return false
      if (!drops && permanent !== null) return permanent
    }
    return stored
  }

  /**
   * Takes the changes so far, for a call. The call begins with {@link begin}, and ends with {@link landed} or
   * {@link returned}.
   *
   * @param drops whether the changes go nowhere
   * @throws SessionValueError, and nothing is taken.
   */
  cut (keep: Keep = 'all', drops = false): Cut {
    const keys = keep === 'all' ? null : new Set(keep)
    const cut: Cut = { keep: keys, drops, changes: this.#changes(drops), permanent: this.permanent, set: {}, remove: new Set() }
    // A handler may hold an object and change it after this.
    const held = [...drops ? [] : this.#live ?? []].filter(([key, { value }]) => typeof value === 'object' && keys?.has(key) !== false)
    this.#live = held.length === 0 ? null : new Map(held.map(([key, { value, before }]) => [key, { value, before: cut.changes.get(key)?.text ?? before }]))
    this.permanent = null
    return this.#push(cut)
  }

  /** The calls before this one have ended: what it has to set and to remove is known now. */
  begin (cut: Cut): void {
    if (cut.drops) return
    for (const [key, { text }] of cut.changes) {
      if (cut.keep?.has(key) === false || text === (this.#storedText(key) ?? null)) continue
      if (text === null) cut.remove.add(key)
      else cut.set[key] = text
    }
  }

  /** Leaves everything behind that was there before the call. */
  empty (cut: Cut): void {
    cut.keep = new Set()
    cut.set = {}
    this.leave()
  }

  /**
   * Leaves the objects behind that were read before the call under way.
   *
   * @param keys of these; null is all of them.
   */
  leave (keys: ReadonlySet<string> | null = null): void {
    for (const changes of [this.#live, ...this.#cuts.slice(1).map(({ changes }) => changes)]) {
      for (const [key, { before }] of changes ?? []) if (before !== null && keys?.has(key) !== false) changes?.delete(key)
    }
  }

  /** The call has succeeded: these fields are stored now. */
  landed (cut: Cut, stored: SessionFields): void {
    this.#drop(cut)
    this.#stored = stored
  }

  /** The call has failed, or had nothing to do: the changes go to the next call, or wait for one. */
  returned (cut: Cut, keys: ReadonlySet<string> | null = null): void {
    if (!this.#drop(cut)) return
    const next = this.#cuts[0] ?? this
    next.permanent ??= cut.permanent
    this.#putBack(keys === null ? cut.changes : new Map([...cut.changes].filter(([key]) => keys.has(key))))
  }

  /** Takes the fields as they are stored now, and forgets every change that is not. */
  reset (stored: SessionFields): void {
    this.#stored = stored
    this.#live = null
    this.permanent = null
  }

  /** Like {@link cut}, but takes only what was set with this prefix. */
  cutOf (prefix: string): Cut {
    const cut: Cut = { keep: null, drops: false, changes: new Map(), permanent: null, set: {}, remove: new Set() }
    for (const [key, { value, before }] of this.#live ?? []) {
      if (!key.startsWith(prefix) || value === REMOVED) continue
      cut.changes.set(key, { value, before, text: toJson(key, value) })
      this.#live?.delete(key)
    }
    return this.#push(cut)
  }

  /** Takes the fields with this prefix out of a cut. With those of calls before it that have failed. */
  takeOut ({ changes }: Cut, prefix: string): SessionFields {
    const fields: Record<string, string> = {}
    for (const [key, { text }] of changes) {
      if (text === null || !key.startsWith(prefix)) continue
      fields[key] = text
      changes.delete(key)
    }
    return fields
  }

  /** Changes that no call has stored after all go to the next call, or wait for one. A newer change is stronger. */
  #putBack (changes: ReadonlyMap<string, Change>): void {
    const next = this.#cuts[0]
    for (const [key, change] of changes) {
      if (next !== undefined) {
        if (!next.changes.has(key)) next.changes.set(key, change)
      } else if (this.#live?.has(key) !== true || this.#live.get(key)?.value === change.value) {
        this.#put(key, change)
      }
    }
  }

  /** Another call has taken these fields out of the store. */
  forget (fields: SessionFields): void {
    this.#stored = Object.fromEntries(Object.entries(this.#stored).filter(([key]) => !Object.hasOwn(fields, key)))
  }

  /** What was set or removed, and the objects that have changed since they were read. @throws SessionValueError */
  #changes (isTolerant = false): Map<string, Change> {
    const changes = new Map<string, Change>()
    for (const [key, { value, before }] of this.#live ?? []) {
      try {
        const text = value === REMOVED ? null : toJson(key, value)
        if (before === null || text !== before) changes.set(key, { value, before, text })
      } catch (error) {
        if (!isTolerant) throw error
      }
    }
    return changes
  }

  #put (key: string, { value, before }: Live): void {
    this.#live ??= new Map()
    this.#live.set(key, { value, before })
  }

  #push (cut: Cut): Cut {
    this.#cuts = [...this.#cuts, cut]
    return cut
  }

  #drop (cut: Cut): boolean {
    if (!this.#cuts.includes(cut)) return false
    this.#cuts = this.#cuts.filter((other) => other !== cut)
    if (this.#live?.size === 0) this.#live = null
    return true
  }

  #names (): Iterable<string> {
    if (this.isPristine) return Object.keys(this.#stored)
    return new Set([...Object.keys(this.#stored), ...this.#cuts.flatMap(({ changes }) => [...changes.keys()]), ...this.#live?.keys() ?? []])
  }

  /** The text of a field as it is once the calls under way have succeeded. */
  #textOf (key: string): string | undefined {
    for (let i = this.#cuts.length - 1; i >= 0; i--) {
      const { keep, drops, changes } = this.#cuts[i] as Cut
      if (keep?.has(key) === false) return undefined
      const change = drops ? undefined : changes.get(key)
      if (change !== undefined) return change.text ?? undefined
    }
    return this.#storedText(key)
  }

  #storedText (key: string): string | undefined {
    return Object.hasOwn(this.#stored, key) ? this.#stored[key] : undefined
  }
}

/** Whether no handler can see a value of this name. */
function isHidden (key: string): boolean {
  return RESERVED.has(key) || key.startsWith(OWN_PREFIX)
}
