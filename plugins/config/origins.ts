import { isOrigin } from '../common/origin.js'

/** A pattern such as `https://*.example.com`, for every host below a domain. The star is the whole first label. */
const PATTERN = /^(https?:\/\/)\*\.([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)(:\d+)?$/

/** Finds the domain of a pattern; null if the text is not a pattern. */
export function domainOfPattern (text: string): string | null {
  return PATTERN.exec(text)?.[2] ?? null
}

/** Tells whether a text is an origin as browsers write it, such as `https://app.example.com`, or a pattern. */
export function isOriginOrPattern (text: string): boolean {
  if (domainOfPattern(text) === null) return isOrigin(text)
  // With a label in the place of the star, a pattern must be an origin: without the default port of its scheme, for example.
  return isOrigin(text.replace('*', 'x'))
}

/** Returns a function that tells whether an origin is on the list. Only origins as browsers write them can be. */
export function originMatcher (list: readonly string[]): (origin: string) => boolean {
  const exact = new Set(list)
  const patterns = list.flatMap((text) => {
    const [, scheme = '', domain = '', port = ''] = PATTERN.exec(text) ?? []
    return domain === '' ? [] : [{ scheme, end: `.${domain}${port}` }]
  })
  return (origin) => exact.has(origin) || patterns.some(({ scheme, end }) =>
    origin.startsWith(scheme) && origin.endsWith(end) && origin.length > scheme.length + end.length && isOrigin(origin))
}
