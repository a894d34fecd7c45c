import type { SessionFields } from '../../store/sessions.js'
import { ChangeSet, textIn, type Change, type LocalValue } from './change-set.js'
import { isReserved } from './fields.js'
import { InFlight } from './in-flight.js'
import { fromJson, toJson } from './json.js'
import type { SessionSchema } from './schema.js'
import { Snapshot } from './snapshot.js'

const REMOVED = Symbol('removed')

/**
 * The values of a session: copy on write over the stored fields.
 *
 * A value is parsed when it is read. An object that was read is compared with its text when the session is written, so
 * that a change within it is seen.
 *
 * A call takes the changes made before it, and never those made after it, no matter when its turn comes. If it fails, they
 * go to the next call, or wait for one.
 */
export class Values {
  /** The value that the handler assigned to `session.permanent` and no call has taken; null if there is none. */
  permanent: boolean | null = null
  /** The fields in the store, as far as this request knows. */
  #stored: SessionFields
  #inFlight = InFlight.NONE
  /** The values that were set, removed, or read as an object. */
  #local: Map<string, LocalValue> | null = null
  readonly #schema: SessionSchema | null
  /** The stored fields that do not fit the schema; null: not checked yet. They stay in the store: another version may need them. */
  #misfits: ReadonlySet<string> | null = null
  /** The values for the schema; null: not made since the last call. */
  #snapshot: Snapshot | null = null

  constructor (stored: SessionFields, schema: SessionSchema | null) {
    this.#stored = stored
    this.#schema = schema
  }

  /** Tells whether this value may differ from the stored one. */
  mayDiffer (key: string): boolean {
    return !this.#inFlight.isEmpty || this.#local?.has(key) === true
  }

  /** Whether calls are under way, which may change any value. */
  get hasCallsInFlight (): boolean {
    return !this.#inFlight.isEmpty
  }

  /** Whether no value can have changed. */
  get isPristine (): boolean {
    return this.#local === null && this.#inFlight.isEmpty
  }

  /** Whether a value differs from the stored one, or will once the calls under way have succeeded. */
  get isModified (): boolean {
    if (this.isPristine) return false
    for (const [key, { text }] of this.#changes()) if (text !== this.#textOf(key)) return true
    return false
  }

  has (key: string): boolean {
    return this.holds(key) && !this.#isHidden(key)
  }

  /** Tells whether there is a value, even one that the schema hides. */
  holds (key: string): boolean {
    if (isReserved(key)) return false
    const local = this.#local?.get(key)
    return local === undefined ? this.#textOf(key) !== null : local.value !== REMOVED
  }

  get (key: string): unknown {
    const local = this.#local?.get(key)
    if (local !== undefined) return local.value === REMOVED || isReserved(key) ? undefined : local.value
    const text = this.#textOf(key)
    if (text === null || isReserved(key) || this.#isHidden(key)) return undefined
    const value = fromJson(text)
    if (typeof value === 'object' && value !== null) this.#putLocal(key, { value, before: text })
    return value
  }

  keys (): string[] { return [...this.#names()].filter((key) => this.has(key)) }

  /** Returns the keys, including those of values that the schema hides. */
  heldKeys (): string[] { return [...this.#names()].filter((key) => this.holds(key)) }

  /** Returns every value. A change within an object that was not read before is not seen. */
  entries (): Array<[key: string, value: unknown]> {
    return this.keys().flatMap((key) => {
      const local = this.#local?.get(key)
      const value = local === undefined ? fromJson(this.#textOf(key) ?? undefined) : local.value
      return value === undefined ? [] : [[key, value]]
    })
  }

  /** Returns the values for the schema, as they are until the next call. */
  snapshot (): Snapshot { return (this.#snapshot ??= new Snapshot(this.entries())) }

  /** Sets a value that JSON can hold, or a field of hatcheck's own. */
  put (key: string, value: unknown): void {
    this.#putLocal(key, { value, before: null })
  }

  delete (key: string): void {
    this.put(key, REMOVED)
  }

  /** Returns `session.permanent` as it will be once the calls under way have succeeded. */
  permanentOr (stored: boolean): boolean {
    return this.permanent ?? this.#inFlight.permanentOr(stored)
  }

  /**
   * Takes the changes so far, for a call. The call ends with {@link confirm} or {@link restore}.
   *
   * @param keep the keys that the session keeps.
   * @throws SessionValueError, SessionSchemaError, and nothing is taken.
   */
  take (keep: 'all' | readonly string[] = 'all'): ChangeSet {
    return this.#take(this.#changes(), keep === 'all' ? null : new Set(keep), false)
  }

  /** Takes the changes so far, as {@link take} does, for a call that drops them. @param keep which stored values the session keeps */
  drop (keep: 'all' | 'none'): ChangeSet {
    return this.#take(this.#changes(true), keep === 'all' ? null : new Set(), true)
  }

  /** Takes every change, as {@link take} does; null if there is none. */
  takeAny (storedPermanent: boolean): ChangeSet | null {
    if (this.permanent === storedPermanent && !this.hasCallsInFlight) this.permanent = null
    if (this.isPristine && this.permanent === null) return null
    const changes = this.#changes()
    return changes.size === 0 && this.permanent === null ? null : this.#take(changes, null, false)
  }

  /** Takes only the values that were set under keys with this prefix. */
  takeWithPrefix (prefix: string): ChangeSet {
    const changes = new Map<string, Change>()
    for (const [key, { value, before }] of this.#local ?? []) {
      if (!key.startsWith(prefix) || value === REMOVED) continue
      changes.set(key, { value, before, text: toJson(key, value) })
      this.#local?.delete(key)
    }
    return this.#add(new ChangeSet(changes, null))
  }

  #take (changes: Map<string, Change>, keep: ReadonlySet<string> | null, isDropped: boolean): ChangeSet {
    if (!isDropped) this.#schema?.assertChangesFit(changes, keep, this)
    const taken = new ChangeSet(changes, this.permanent, keep, isDropped)
    this.#local = isDropped ? null : this.#heldAfter(taken)
    this.permanent = null
    return this.#add(taken)
  }

  /** The objects that a handler may hold, and change after the call has taken the changes. */
  #heldAfter ({ changes, keep }: ChangeSet): Map<string, LocalValue> | null {
    let held: Map<string, LocalValue> | null = null
    for (const [key, { value, before }] of this.#local ?? []) {
      if (typeof value !== 'object' || keep?.has(key) === false) continue
      held ??= new Map()
      held.set(key, { value, before: changes.get(key)?.text ?? before })
    }
    return held
  }

  /** Ends a call that has succeeded: these fields are stored now. */
  confirm (taken: ChangeSet, stored: SessionFields): void {
    this.#remove(taken)
    this.rebase(stored)
  }

  /**
   * Ends a call that has failed or had nothing to do: its changes go to the next call, or wait for one.
   *
   * @param keys the keys that come back; null: all of them.
   */
  restore (taken: ChangeSet, keys: ReadonlySet<string> | null = null): void {
    const next = this.#inFlight.after(taken)
    if (!this.#remove(taken)) return
    const target = next ?? this
    target.permanent ??= taken.permanent
    for (const [key, change] of taken.changes) {
      if (keys?.has(key) === false) continue
      // A newer change to the same key wins.
      if (next !== undefined) {
        if (!next.changes.has(key)) next.changes.set(key, change)
      } else if (this.#local?.has(key) !== true || this.#local.get(key)?.value === change.value) {
        this.#putLocal(key, change)
      }
    }
  }

  /**
   * Forgets the objects that were read before the call under way, so that a later change within them is not stored.
   *
   * @param keys only these; null: all of them.
   */
  forgetRead (keys: ReadonlySet<string> | null = null): void {
    for (const changes of [this.#local, ...this.#inFlight.waiting.map(({ changes }) => changes)]) {
      for (const [key, { before }] of changes ?? []) if (before !== null && keys?.has(key) !== false) changes?.delete(key)
    }
    this.#snapshot = null
  }

  /** Takes the fields as they are stored now, and forgets every other change. */
  reset (stored: SessionFields): void {
    this.rebase(stored)
    this.#local = null
    this.permanent = null
  }

  /** Takes the fields as they are stored now, and keeps the changes. */
  rebase (stored: SessionFields): void {
    this.#stored = stored
    this.#misfits = null
    this.#snapshot = null
  }

  /** Tells whether the value is as it is stored, and does not fit the schema. */
  #isHidden (key: string): boolean {
    if (this.#schema === null || this.#local?.has(key) === true || this.#textOf(key) !== textIn(this.#stored, key)) return false
    this.#misfits ??= this.#schema.misfits(this.#stored)
    return this.#misfits.has(key)
  }

  /** Returns the values that were set or removed, and the objects that have changed since they were read. @throws SessionValueError */
  #changes (isTolerant = false): Map<string, Change> {
    const changes = new Map<string, Change>()
    for (const [key, { value, before }] of this.#local ?? []) {
      try {
        const text = value === REMOVED ? null : toJson(key, value)
        if (before === null || text !== before) changes.set(key, { value, before, text })
      } catch (error) {
        if (!isTolerant) throw error
      }
    }
    return changes
  }

  #putLocal (key: string, local: LocalValue): void {
    this.#local ??= new Map()
    this.#local.set(key, local)
    if (local.value === REMOVED) this.#snapshot?.delete(key)
    else this.#snapshot?.put(key, local.value)
  }

  #add (taken: ChangeSet): ChangeSet {
    this.#inFlight = this.#inFlight.with(taken)
    this.#snapshot = null
    return taken
  }

  /** Returns false if the call has ended before. */
  #remove (taken: ChangeSet): boolean {
    const others = this.#inFlight.without(taken)
    if (others === this.#inFlight) return false
    this.#inFlight = others
    if (this.#local?.size === 0) this.#local = null
    this.#snapshot = null
    return true
  }

  #names (): Iterable<string> {
    if (this.isPristine) return Object.keys(this.#stored)
    return new Set([...Object.keys(this.#stored), ...this.#inFlight.keys(), ...this.#local?.keys() ?? []])
  }

  /** The text of a field as it is once the calls under way have succeeded; null if it is missing. */
  #textOf (key: string): string | null {
    return this.#inFlight.textOf(key, this.#stored)
  }
}
