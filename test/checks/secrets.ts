/** An ID and its MAC, as in the cookie. Nothing else looks like this. */
const TICKET = /(?<![\w-])[\w-]{43}\.[\w-]{43}(?![\w-])/g
const HALF = 43
/** Shorter texts would be found by accident. */
const SHORTEST = 8
/** Words that pages and log lines contain anyway. */
const WORDS = new Set(['password'])
/** Bytes as the numbers of a Buffer in JSON, in hexadecimal digits, and in base64 of both alphabets. */
const NUMBERS = /\d{1,3}(?:,\d{1,3}){7,}/g
const HEXADECIMAL = /[\da-f]{16,}/gi
const BASE64 = /[\w+/-]{11,}/g
/** The number of characters kept before a search; then the older half is searched and dropped. */
const KEPT_CHARACTERS = 4_000_000

interface Shown {
  /** The request, or the log. */
  where: string
  text: string
}

/** Remembers every password, ticket, ID and key of a test, and finds those that a text shows. */
export class Secrets {
  readonly #secrets = new Set<string>()
  readonly #halves = new Set<string>()
  readonly #found = new Set<string>()
  #older: Shown[] = []
  #newer: Shown[] = []
  #characters = 0

  /** Remembers a password or a key. */
  add (text: unknown): void {
    if (typeof text === 'string' && text.length >= SHORTEST && !WORDS.has(text)) this.#secrets.add(text)
  }

  /** Remembers the passwords among the fields of a body or a query. */
  addFields (fields: unknown): void {
    if (typeof fields !== 'object' || fields === null) return
    for (const [name, value] of Object.entries(fields)) if (/^(?:\w+_)?(?:password|pwd)$/.test(name)) [value].flat().forEach((text) => { this.add(text) })
  }

  /** Remembers the tickets in a header or any other text. */
  addTickets (text: string): void {
    for (const [ticket] of text.matchAll(TICKET)) for (const half of ticket.split('.')) this.#halves.add(half)
  }

  /** Records a text that must show no secret, not even one that is added later. */
  shown (where: string, text: string): void {
    this.#newer.push({ where, text })
    this.#characters += text.length
    if (this.#characters < KEPT_CHARACTERS) return
    this.#search(this.#older)
    this.#older = this.#newer
    this.#newer = []
    this.#characters = 0
  }

  /** Lists the secrets shown so far, each with the text around it. */
  findings (): string[] {
    this.#search([...this.#older, ...this.#newer])
    return [...this.#found]
  }

  #search (texts: readonly Shown[]): void {
    const known = [...this.#secrets].flatMap(spellings)
    const secrets = known.length === 0 ? null : new RegExp(`(?<![\\w-])(?:${known.map((text) => text.replace(/[^\w\s]/g, '\\$&')).join('|')})(?![\\w-])`)
    for (const { where, text: plain } of texts) {
      const text = `${plain}\n${decoded(plain)}`
      const at = Math.max(text.search(TICKET), text.indexOf('$argon2'), text.search(secrets ?? /$^/), this.#halfIn(text))
      if (at >= 0) this.#found.add(`${where}: no password, ticket, ID or key may be shown: ${text.slice(Math.max(0, at - 200), at + 200)}`)
    }
  }

  #halfIn (text: string): number {
    if (this.#halves.size === 0) return -1
    for (const { 0: run, index } of text.matchAll(/[\w-]{43,}/g)) {
      for (let at = 0; at + HALF <= run.length; at++) if (this.#halves.has(run.slice(at, at + HALF))) return index + at
    }
    return -1
  }
}

/** A text as it is, and its forms in JSON, in an address, in a form and in a page. */
function spellings (text: string): string[] {
  const encoded = encodeURIComponent(Buffer.from(text).toString())
  const html = text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
  return [...new Set([text, JSON.stringify(text).slice(1, -1), encoded, encoded.replaceAll('%20', '+'), html])]
}

/** What the bytes in a text say, a line for each run of them. */
function decoded (text: string): string {
  const runs = (form: RegExp): string[] => text.match(form) ?? []
  return [
    ...runs(NUMBERS).map((run) => Buffer.from(run.split(',').map(Number))),
    ...runs(HEXADECIMAL).map((run) => Buffer.from(run, 'hex')),
    ...runs(BASE64).map((run) => Buffer.from(run, 'base64'))
  ].join('\n')
}
