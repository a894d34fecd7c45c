/** A pattern such as `https://*.example.com`, for every host below a domain. The star is the whole first label. */
const PATTERN = /^(https?:\/\/)\*\.([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)(:\d+)?$/

/** The origin at the beginning of an address. A host has at most 253 characters, and a port six. */
const BEGINNING = /^https?:\/\/[^/?#\\@\s]{1,259}(?=\/|$)/i

/** Finds the domain of a pattern; null if the text is no pattern. */
export function domainOfPattern (text: string): string | null {
  return PATTERN.exec(text)?.[2] ?? null
}

/** Answers whether a text is an origin as browsers write it, such as `https://app.example.com`, or a pattern. */
export function isOriginOrPattern (text: string): boolean {
  // With a label in the place of the star, a pattern must be an origin: without the default port of its scheme, for example.
  return isOrigin(domainOfPattern(text) === null ? text : text.replace('*', 'x')) && (domainOfPattern(text) !== null || !text.includes('*'))
}

/** Returns a function that answers whether an origin is on the list. Only origins as browsers write them can be. */
export function originMatcher (list: readonly string[]): (origin: string) => boolean {
  const exact = new Set(list)
  const patterns = list.flatMap((text) => {
    const [, scheme = '', domain = '', port = ''] = PATTERN.exec(text) ?? []
    return domain === '' ? [] : [{ scheme, end: `.${domain}${port}` }]
  })
  return (origin) => exact.has(origin) || patterns.some(({ scheme, end }) =>
    origin.startsWith(scheme) && origin.endsWith(end) && origin.length > scheme.length + end.length && isOrigin(origin))
}

/** Finds the origin of an absolute address; null if it is not written as browsers write it. */
export function originOf (address: string): string | null {
  const origin = beginningOf(address)
  return origin !== null && isOrigin(origin) ? origin : null
}

/** Finds the origin of an absolute address as it is written there. Stops at the longest origin: a host of 15 KB takes 4 ms. */
export function beginningOf (address: string): string | null {
  return BEGINNING.exec(address)?.[0] ?? null
}

function isOrigin (text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}
