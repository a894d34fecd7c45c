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
    values.push((end === -1 ? header.slice(at + 1) : header.slice(at + 1, end)).trim())
    if (end === -1) break
    at = end
  }
  return values
}

const EQUALS = 61
const SEMICOLON = 59
const SPACE = 32

function beginsPair (header: string, at: number): boolean {
  while (at > 0 && header.charCodeAt(at - 1) === SPACE) at--
  return at === 0 || header.charCodeAt(at - 1) === SEMICOLON
}
