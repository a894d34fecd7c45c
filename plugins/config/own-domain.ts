import { isIP } from 'node:net'
import { unlessInstalled } from '../common/not-installed.js'

/**
 * Says why browsers accept no cookie for a domain; null if they do. Both parts of the Public Suffix List count, as they do
 * for browsers.
 */
export async function flawOfDomain (domain: string): Promise<string | null> {
  const name = domain.toLowerCase().replace(/^\./, '')
  // In every spelling of an IPv4 address, the last label is a number.
  if (isIP(name) !== 0 || /(?:^|\.)(?:\d+|0x[\da-f]*)$/.test(name)) return 'is an IP address'
  if (!name.includes('.')) return 'is a single label'
  if (name.endsWith('.localhost')) return 'is a name of this machine'
  // Loaded only when a domain has to be looked up.
  const { getPublicSuffix } = await import('tldts').catch(unlessInstalled('tldts'))
  return getPublicSuffix(name, { allowPrivateDomains: true }) === name ? 'is a public suffix' : null
}
