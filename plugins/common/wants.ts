import type { IncomingHttpHeaders } from 'node:http'
import { negotiator } from './negotiator.js'

/** In characters; the rest is ignored, since each type costs as much as a small request. Browsers send about 150. */
const LONGEST_ACCEPT = 1_024
/** A range such as `text/*` names the type too. Source: RFC 9110, section 12.5.1. */
const NAMES_HTML = /text\/(?:html|\*)/
const NAMES_JSON = /json|application\/\*/
/** A parameter of a type, such as `;charset=utf-8`: no answer depends on one. */
const PARAMETER = /;\s*(?!q\s*=)[\w-]+\s*=\s*(?:"[^"]*"|[^;,"]*)/g
/** Source: RFC 9110, section 12.4.2. */
const REFUSES_SOMETHING = /;\s*q=0(?:\.0*)?\s*(?:,|$)/

/**
 * Tells whether the client wants a page or JSON, by its `Accept` header.
 *
 * @param unsaid the answer for a client that names neither, such as curl. Errors are JSON then, everything else is a page.
 */
export function wants ({ headers }: { headers: IncomingHttpHeaders }, unsaid: 'page' | 'json' = 'page'): 'page' | 'json' {
  // The case of a media type means nothing. Source: RFC 9110, section 8.3.1.
  const accept = headers.accept?.slice(0, LONGEST_ACCEPT).toLowerCase()
  if (accept === undefined) return unsaid
  if (NAMES_JSON.test(accept) && prefersJson(accept)) return 'json'
  return NAMES_HTML.test(accept) && (!REFUSES_SOMETHING.test(accept) || preferred(accept, ['text/html']) !== undefined) ? 'page' : unsaid
}

function prefersJson (accept: string): boolean {
  return preferred(accept, ['text/html', 'application/json', 'application/problem+json'])?.endsWith('json') === true
}

/** Returns the type that the client likes best; undefined if it takes none of them. */
function preferred (accept: string, types: string[]): string | undefined {
  const Negotiator = negotiator()
  return new Negotiator({ headers: { accept: accept.replace(PARAMETER, '') } }).mediaType(types)
}
