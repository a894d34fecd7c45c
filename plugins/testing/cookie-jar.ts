interface Cookie {
  readonly name: string
  readonly value: string
  readonly domain: string
  /** Whether only the host that has set the cookie gets it. */
  readonly isHostOnly: boolean
  readonly path: string
  readonly isSecure: boolean
  /** In ms since the epoch. */
  readonly expiresAt: number
}

/**
 * Keeps cookies as a browser does: by host, path and scheme, until they expire. It sends every cookie that fits, as for a link
 * that the user has clicked, so SameSite plays no part.
 *
 * Source: RFC 6265bis, section 5.
 */
export class CookieJar {
  /** In the order of their creation. */
  readonly #cookies = new Map<string, Cookie>()
  readonly #now: () => number

  /** @param now the clock by which cookies expire, in ms since the epoch */
  constructor (now: () => number) {
    this.#now = now
  }

  /** Takes the line of a Set-Cookie header. Returns false if a browser would drop it. */
  take (line: string, from: URL): boolean {
    const cookie = this.#parse(line, from)
    if (cookie === null || !isAllowed(cookie, from)) return false
    const key = [cookie.isHostOnly, cookie.domain, cookie.path, cookie.name].join(';')
    if (cookie.expiresAt <= this.#now()) this.#cookies.delete(key)
    else this.#cookies.set(key, cookie)
    return true
  }

  /** Returns the Cookie header for a URL; an empty string if there is none. */
  headerFor (url: URL): string {
    const time = this.#now()
    return [...this.#cookies.values()]
      .filter((cookie) => cookie.expiresAt > time && fits(cookie, url))
      // Of cookies with the same length of path, the sort keeps the oldest first.
      .sort((a, b) => b.path.length - a.path.length)
      .map(({ name, value }) => `${name}=${value}`).join('; ')
  }

  /** Removes the cookies of this name. */
  remove (name: string): void {
    for (const [key, cookie] of this.#cookies) if (cookie.name === name) this.#cookies.delete(key)
  }

  #parse (line: string, from: URL): Cookie | null {
    const [pair = '', ...parts] = line.split(';')
    const at = pair.indexOf('=')
    const name = pair.slice(0, at).trim()
    if (at === -1 || name === '') return null
    const attributes = new Map(parts.map((part) => {
      const [attribute = '', ...rest] = part.split('=')
      return [attribute.trim().toLowerCase(), rest.join('=').trim()]
    }))
    const domain = (attributes.get('domain') ?? '').replace(/^\./, '').toLowerCase()
    const path = attributes.get('path') ?? ''
    return {
      name,
      value: pair.slice(at + 1).trim(),
      domain: domain === '' ? from.hostname : domain,
      isHostOnly: domain === '',
      path: path.startsWith('/') ? path : defaultPath(from),
      isSecure: attributes.has('secure'),
      expiresAt: this.#expiryOf(attributes)
    }
  }

  #expiryOf (attributes: ReadonlyMap<string, string>): number {
    const maxAge = attributes.get('max-age')
    if (maxAge !== undefined && /^-?\d+$/.test(maxAge)) return this.#now() + Number(maxAge) * 1000
    const expires = Date.parse(attributes.get('expires') ?? '')
    return Number.isNaN(expires) ? Infinity : expires
  }
}

function isAllowed ({ name, domain, isHostOnly, path, isSecure }: Cookie, from: URL): boolean {
  if (!isWithin(from.hostname, domain) || (isSecure && from.protocol !== 'https:')) return false
  if (/^__host-/i.test(name)) return isSecure && isHostOnly && path === '/'
  return isSecure || !/^__secure-/i.test(name)
}

function fits ({ domain, isHostOnly, path, isSecure }: Cookie, { hostname, pathname, protocol }: URL): boolean {
  if (isSecure && protocol !== 'https:') return false
  if (isHostOnly ? hostname !== domain : !isWithin(hostname, domain)) return false
  return pathname === path || (pathname.startsWith(path) && (path.endsWith('/') || pathname[path.length] === '/'))
}

function isWithin (hostname: string, domain: string): boolean {
  return hostname === domain || hostname.endsWith(`.${domain}`)
}

/** Returns the folder of a URL, without the slash at its end. */
function defaultPath ({ pathname }: URL): string {
  return pathname.slice(0, pathname.lastIndexOf('/')) || '/'
}
