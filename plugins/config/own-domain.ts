import { isIP } from 'node:net'

/**
 * Why a domain is nobody's own, so that browsers take no cookie for it and nobody can answer for all of its hosts; null if it
 * may be somebody's. Of the Public Suffix List, both parts count, as they do for browsers.
 */
export async function flawOfDomain (domain: string): Promise<string | null> {
  const name = domain.toLowerCase().replace(/^\.|\.$/g, '')
  // The last label of an IPv4 address, however it is written, is a number.
  if (isIP(name) !== 0 || /(?:^|\.)(?:\d+|0x[\da-f]*)$/.test(name)) return 'is an IP address'
  if (!name.includes('.')) return 'is a single label'
  if (name.endsWith('.localhost')) return 'is a name of this machine'
  // Loaded only where there is a domain to be looked up.
  const { getPublicSuffix } = await import('tldts')
  return getPublicSuffix(name, { allowPrivateDomains: true }) === name ? 'is a public suffix' : null
}
