/** An origin, or `https://*.example.com` for every host below a domain. The star is a whole label, and the first. */
const PATTERN = /^(https?:\/\/)\*\.([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)(:\d+)?$/

/** The origin that an address begins with, as it is written there. A host has 253 characters at most, and a port six. */
const BEGINNING = /^https?:\/\/[^/?#\\@\s]{1,259}(?=\/|$)/i

/** The part of a pattern for all hosts below a domain that is the domain; null if the text is no such pattern. */
export function domainOfPattern (text: string): string | null {
  return PATTERN.exec(text)?.[2] ?? null
}

/** Whether a text is an origin as browsers write it, such as `https://app.example.com`, or a pattern for all hosts below a domain. */
export function isOriginOrPattern (text: string): boolean {
  // With a label in the place of the star it has to be an origin: without the port that its scheme implies, say.
  return isOrigin(domainOfPattern(text) === null ? text : text.replace('*', 'x')) && (domainOfPattern(text) !== null || !text.includes('*'))
}

/** Answers whether an origin is on the list. One that is not written as browsers write it is on none. */
export function originMatcher (list: readonly string[]): (origin: string) => boolean {
  const exact = new Set(list)
  const patterns = list.flatMap((text) => {
    const [, scheme = '', domain = '', port = ''] = PATTERN.exec(text) ?? []
    return domain === '' ? [] : [{ scheme, end: `.${domain}${port}` }]
  })
  return (origin) => exact.has(origin) || patterns.some(({ scheme, end }) =>
    origin.startsWith(scheme) && origin.endsWith(end) && origin.length > scheme.length + end.length && isOrigin(origin))
}

/** The origin of an absolute address, if it is written there as browsers write it; else null. */
export function originOf (address: string): string | null {
  const origin = beginningOf(address)
  return origin !== null && isOrigin(origin) ? origin : null
}

/** The same, however it is written there. What is longer than any origin is not looked at: a host of 15 KB takes 4 ms. */
export function beginningOf (address: string): string | null {
  return BEGINNING.exec(address)?.[0] ?? null
}

function isOrigin (text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}
