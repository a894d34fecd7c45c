export const HOST = 'localhost:3000'
export const PARTNER = 'https://app.example.com'

/** Of a header that comes twice, node keeps the last one here. */
export const SITES = [undefined, 'same-origin', 'none', 'same-site', 'cross-site', 'nonsense', '', 'Same-Origin', 'same-origin, same-origin'] as const
export const ORIGINS = [
  undefined, `http://${HOST}`, `http://${HOST.toUpperCase()}`, `HTTP://${HOST}`, `https://${HOST}`, 'http://localhost', 'http://localhost:3001', 'http://localhost.:3000', `http://${HOST}.example.com`, `http://www.${HOST}`, `app://${HOST}`, `ws://${HOST}`,
  'http://evil.example', 'null', '', 'nonsense', HOST, `http://${HOST}, http://${HOST}`, PARTNER, `${PARTNER}.evil.example`, `${PARTNER}:444`, `${PARTNER}.`, 'https://APP.example.com', 'http://app.example.com'
] as const

export type Site = typeof SITES[number]
export type Origin = typeof ORIGINS[number]

/** The headers with which a browser describes the origin of a request; an undefined header is not sent. */
export function headersOf (site: Site, origin: Origin): Record<string, string> {
  return { host: HOST, ...site !== undefined && { 'sec-fetch-site': site }, ...origin !== undefined && { origin } }
}

/** The rule in three lines, written independently of the plugin. */
export function mayChange (site: Site, origin: Origin, allowed: readonly string[]): boolean {
  if (origin !== undefined && allowed.includes(origin)) return true
  if (site !== undefined) return ['same-origin', 'none'].includes(site)
  // An untrusted proxy hides that the user's connection is https.
  return origin === undefined || [`http://${HOST}`, `https://${HOST}`].includes(origin.toLowerCase())
}
