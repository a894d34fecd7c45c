import { listOf, type Json, type Meaning, type Source } from './source.js'
import { meaningOf, NotFlaskError } from './tags.js'

/** How deep brackets may be nested. Flask itself reads about this many levels. */
const MAX_DEPTH = 500

const SPACE = /[ \t\n\r]*/y
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/y
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const WORD = /-?[A-Za-z]+/y

/** Values of JSON, and of Python's `json` beside them. JSON has no infinite number, so it writes null. */
const WORDS: ReadonlyMap<string, Json> = new Map<string, Json>([
  ['true', true], ['false', false], ['null', null], ['NaN', null], ['Infinity', null], ['-Infinity', null]
])

/**
 * Reads the JSON of a session as Flask has written it. Each value keeps its text.
 *
 * @throws NotFlaskError, SyntaxError
 */
export function readSource (text: string): Source {
  const reader = new Reader(text)
  const source = reader.value(0)
  reader.end()
  return source
}

class Reader {
  readonly #text: string
  #at = 0

  constructor (text: string) {
    this.#text = text
  }

  value (depth: number): Source {
    if (depth > MAX_DEPTH) throw new NotFlaskError()
    this.#take(SPACE)
    const start = this.#at
    const meaning = this.#meaning(depth)
    const text = this.#text.slice(start, this.#at)
    this.#take(SPACE)
    return { ...meaning, text }
  }

  end (): void {
    if (this.#at !== this.#text.length) throw new NotFlaskError()
  }

  #meaning (depth: number): Meaning {
    switch (this.#text[this.#at]) {
      case '{': return meaningOf(this.#members(depth))
      case '[': return listOf('list', this.#items(depth))
      case '"': return { kind: 'scalar', value: this.#string() }
      default: return this.#wordOrNumber()
    }
  }

  #members (depth: number): Map<string, Source> {
    const members = new Map<string, Source>()
    this.#each('}', () => {
      this.#take(SPACE)
      const key = this.#string()
      this.#take(SPACE)
      if (!this.#skip(':')) throw new NotFlaskError()
      members.set(key, this.value(depth + 1))
    })
    return members
  }

  #items (depth: number): Source[] {
    const items: Source[] = []
    this.#each(']', () => { items.push(this.value(depth + 1)) })
    return items
  }

  /** Reads from an opening bracket to the closing one. */
  #each (close: string, read: () => void): void {
    this.#at++
    this.#take(SPACE)
    if (this.#skip(close)) return
    do read(); while (this.#skip(','))
    if (!this.#skip(close)) throw new NotFlaskError()
  }

  #string (): string {
    return JSON.parse(this.#take(STRING) ?? '') as string
  }

  #wordOrNumber (): Meaning {
    const start = this.#at
    const value = WORDS.get(this.#take(WORD) ?? '')
    if (value !== undefined) return { kind: 'scalar', value }
    this.#at = start
    return { kind: 'scalar', value: this.#number() }
  }

  /** An integer that JavaScript would round stays text. */
  #number (): Json {
    const start = this.#at
    const text = this.#take(NUMBER)
    if (text === null) throw new NotFlaskError()
    const number = Number(text)
    const isInteger = /^-?\d+$/.test(this.#text.slice(start, this.#at))
    if (isInteger && !Number.isSafeInteger(number)) return text
    return Number.isFinite(number) ? number : null
  }

  #skip (character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #take (pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const [match = null] = pattern.exec(this.#text) ?? []
    this.#at += match?.length ?? 0
    return match
  }
}
