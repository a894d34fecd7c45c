import { STATUS_CODES } from '../common/node-http.js'
import { LoginRequiredError } from '../login/errors.js'

/** The parts of an OpenAPI document that are used here. */
export interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { responses?: Record<string, Response> }
}

interface Operation {
  security?: unknown
  responses: Record<string, Response | { $ref: string }>
}

interface Response {
  headers?: Record<string, { required?: boolean }>
}

/** Adds what @fastify/swagger cannot take from the schema of a route: required logins, required headers, shared responses. */
export function finish (document: Document): Document {
  for (const operation of operationsOf(document)) {
    requireLogin(operation)
    requireHeaders(operation)
  }
  shareResponses(document)
  return document
}

/** Marks every operation that can answer LOGIN_REQUIRED as needing a session. */
function requireLogin (operation: Operation): void {
  const { code } = new LoginRequiredError()
  if (JSON.stringify(operation.responses['401'] ?? '').includes(`"${code}"`)) operation.security = [{ session: [] }]
}

/** Marks every described header as required, except Set-Cookie. */
function requireHeaders (operation: Operation): void {
  for (const response of Object.values(operation.responses)) {
    const { headers = {} } = response as Response
    for (const [name, header] of Object.entries(headers)) if (name !== 'Set-Cookie') header.required = true
  }
}

/** Moves error responses that several operations share to `components.responses`. */
function shareResponses (document: Document): void {
  const seen = new Map<string, Operation[]>()
  for (const operation of operationsOf(document)) {
    for (const [status, response] of Object.entries(operation.responses)) {
      if (Number(status) < 400) continue
      const text = JSON.stringify([status, response])
      seen.set(text, [...seen.get(text) ?? [], operation])
    }
  }
  const shared: Record<string, Response> = {}
  for (const [text, operations] of seen) {
    if (operations.length === 1) continue
    const [status, response] = JSON.parse(text) as [string, Response]
    const title = (STATUS_CODES[status] ?? status).replaceAll(' ', '')
    const others = Object.keys(shared).filter((name) => name.startsWith(title)).length
    const name = others === 0 ? title : `${title}${others + 1}`
    shared[name] = response
    for (const operation of operations) operation.responses[status] = { $ref: `#/components/responses/${name}` }
  }
  document.components.responses = shared
}

function operationsOf ({ paths }: Document): Operation[] {
  return Object.values(paths).flatMap((path) => Object.values(path))
}
