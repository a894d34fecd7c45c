/** A visitor who keeps cookies, as a browser does. */
export class Visitor {
  /** The header line with the cookies; empty without any. */
  cookieLine = ''
  readonly #cookies = new Map<string, string>()

  /** Takes the cookies that a response sets. */
  take (head: string): void {
    if (!/\nset-cookie:/i.test(head)) return
    for (const [, name = '', value = '', attributes = ''] of head.matchAll(/\nset-cookie: *([^=]+)=([^;\r\n]*)([^\r\n]*)/gi)) {
      if (value === '' || /max-age=0(?!\d)|expires=thu, 01[ -]jan[ -]1970/i.test(attributes)) this.#cookies.delete(name)
      else this.#cookies.set(name, value)
    }
    const pairs = [...this.#cookies].map(([name, value]) => `${name}=${value}`)
    this.cookieLine = pairs.length === 0 ? '' : `cookie: ${pairs.join('; ')}\r\n`
  }
}
