/**
 * Returns the sources by which the Content-Security-Policy allows an address, and no more than it must: a URL by itself, without
 * its query; a path as this origin, since a policy cannot name it. A `data:` URL is allowed on every page.
 */
export function sourcesOf (address: string | undefined): string[] {
  if (address === undefined || address.startsWith('data:')) return []
  return [address.startsWith('/') ? "'self'" : address.replace(/\?.*$/s, '')]
}
