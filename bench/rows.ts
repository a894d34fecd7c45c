import type { RequestName } from './requests.js'

/** The visitors who send the requests of a row, over CONNECTIONS connections. */
export type Senders =
  /** One visitor for each connection, as browsers are. */
  'browsers' |
  /** All visitors over the same connections, as behind a reverse proxy. */
  'proxy' |
  /** Visitors without a cookie, each once. */
  'strangers' |
  /** Visitors without a cookie, who have one afterwards. */
  'newcomers' |
  /** Those who have just logged in, each once. */
  'leavers'

/** What is measured, one after another. */
export const rows = [
  { name: 'logged in', request: 'page', senders: 'browsers' },
  { name: 'logged in, proxy', request: 'page', senders: 'proxy' },
  { name: 'anonymous', request: 'page', senders: 'strangers' },
  { name: 'verify', request: 'verify', senders: 'browsers' },
  { name: 'verify, proxy', request: 'verify', senders: 'proxy' },
  { name: 'change', request: 'change', senders: 'browsers' },
  { name: 'change, proxy', request: 'change', senders: 'proxy' },
  { name: 'login', request: 'login', senders: 'newcomers' },
  { name: 'logout', request: 'logout', senders: 'leavers' }
] as const satisfies ReadonlyArray<{ name: string, request: RequestName, senders: Senders }>

export type Row = typeof rows[number]

/** Tells whether the visitors of a row come through a reverse proxy. */
export function isOfProxies (name: string): boolean {
  return name.endsWith(', proxy')
}
