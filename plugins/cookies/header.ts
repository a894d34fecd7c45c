/**
 * Returns the values of every cookie with this name. There can be several: a sibling domain or another path may have planted
 * or left one, which must not lock out a user who also has the right one.
 */
export function cookieValues (header: string, name: string): string[] {
  const values: string[] = []
  let at = 0
  while ((at = header.indexOf(name, at)) !== -1) {
    const start = at
    at += name.length
    if (header.charCodeAt(at) !== EQUALS || !beginsPair(header, start)) continue
    const end = header.indexOf(';', at)
    values.push(unquoted((end === -1 ? header.slice(at + 1) : header.slice(at + 1, end)).trim()))
    if (end === -1) break
    at = end
  }
  return values
}

/** Some clients quote every value, such as `CookieManager` of Java. The quotes are no part of it. Source: RFC 2109, section 4.1. */
function unquoted (value: string): string {
  return value.length > 1 && value.charCodeAt(0) === QUOTE && value.endsWith('"') ? value.slice(1, -1) : value
}

const QUOTE = 34
const EQUALS = 61
const SEMICOLON = 59
const SPACE = 32

function beginsPair (header: string, at: number): boolean {
  while (at > 0 && header.charCodeAt(at - 1) === SPACE) at--
  return at === 0 || header.charCodeAt(at - 1) === SEMICOLON
}
