import type { SessionFields } from '../../store/sessions.js'

/** A value of this request that may differ from the stored one. */
export interface LocalValue {
  readonly value: unknown
  /** The JSON text that the value had when it was read; null if it was set or removed. */
  readonly before: string | null
}

export interface Change extends LocalValue {
  /** The JSON text to store; null to remove the key. */
  readonly text: string | null
}

/**
 * The changes that one call takes to the store: those made since the call before it.
 *
 * The call first resolves them against the fields that are stored by then. If it fails, they go to the next call.
 */
export class ChangeSet {
  readonly changes: Map<string, Change>
  /** The value that the handler assigned to `session.permanent`; null if there is none. */
  permanent: boolean | null
  /** The keys that the session keeps; null: all of them. */
  keep: ReadonlySet<string> | null
  /** Whether the call drops the changes instead of storing them. They come back if it fails. */
  readonly isDropped: boolean
  /** The fields to set in the store; empty until {@link resolve}. */
  set: Record<string, string> = {}
  /** The fields to remove from the store; empty until {@link resolve}. */
  readonly remove = new Set<string>()

  constructor (changes: Map<string, Change>, permanent: boolean | null, keep: ReadonlySet<string> | null = null, isDropped = false) {
    this.changes = changes
    this.permanent = permanent
    this.keep = keep
    this.isDropped = isDropped
  }

  /** Whether the call ends the session. */
  get endsSession (): boolean {
    return this.isDropped && this.keep !== null
  }

  /** Finds out what to set and to remove, once the calls before this one have ended. */
  resolve (stored: SessionFields): void {
    if (this.isDropped) return
    for (const [key, { text }] of this.changes) {
      if (this.keep?.has(key) === false || text === textIn(stored, key)) continue
      if (text === null) this.remove.add(key)
      else this.set[key] = text
    }
  }

  /** Leaves every value behind: they are another user's. */
  abandon (): void {
    this.keep = new Set()
    this.set = {}
  }

  /** Takes the fields with this prefix out. */
  extract (prefix: string): SessionFields {
    const fields: Record<string, string> = {}
    for (const [key, { text }] of this.changes) {
      if (text === null || !key.startsWith(prefix)) continue
      fields[key] = text
      this.changes.delete(key)
    }
    return fields
  }
}

/** Returns the text of a field; null if it is missing. */
export function textIn (fields: SessionFields, key: string): string | null {
  return Object.hasOwn(fields, key) ? fields[key] as string : null
}
