import type { SessionFields } from '../../store/sessions.js'
import { textIn, type ChangeSet } from './change-set.js'

/** The changes of the calls under way, oldest first. Immutable. */
export class InFlight {
  /** Shared, since most requests make no call. */
  static readonly NONE = new InFlight([])

  readonly #sets: readonly ChangeSet[]

  private constructor (sets: readonly ChangeSet[]) {
    this.#sets = sets
  }

  get isEmpty (): boolean {
    return this.#sets.length === 0
  }

  /** Returns the changes of the call that follows; undefined if there is none. */
  after (taken: ChangeSet): ChangeSet | undefined {
    // Not the first: the changes of a failed response are older, and wait until that of its error handler is stored.
    return this.#sets[this.#sets.indexOf(taken) + 1]
  }

  /** The changes of the calls that wait for the first one. */
  get waiting (): readonly ChangeSet[] {
    return this.#sets.slice(1)
  }

  with (taken: ChangeSet): InFlight {
    return new InFlight([...this.#sets, taken])
  }

  /** Returns itself if the call has ended before. */
  without (taken: ChangeSet): InFlight {
    const others = this.#sets.filter((other) => other !== taken)
    if (others.length === this.#sets.length) return this
    return others.length === 0 ? InFlight.NONE : new InFlight(others)
  }

  keys (): string[] {
    return this.#sets.flatMap(({ changes }) => [...changes.keys()])
  }

  /** Returns the text of a field as it is once the calls have succeeded; null if it is missing. */
  textOf (key: string, stored: SessionFields): string | null {
    for (let i = this.#sets.length - 1; i >= 0; i--) {
      const { keep, isDropped, changes } = this.#sets[i] as ChangeSet
      if (keep?.has(key) === false) return null
      const change = isDropped ? undefined : changes.get(key)
      if (change !== undefined) return change.text
    }
    return textIn(stored, key)
  }

  /** Returns `session.permanent` as it is once the calls have succeeded. */
  permanentOr (stored: boolean): boolean {
    for (const { permanent, isDropped, endsSession } of this.#sets.toReversed()) {
      if (endsSession) return false
      if (!isDropped && permanent !== null) return permanent
    }
    return stored
  }
}
