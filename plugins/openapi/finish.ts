import { STATUS_CODES } from 'node:http'
import { LoginRequiredError } from '../login/errors.js'

/** What is looked at of an OpenAPI document. */
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

/** What @fastify/swagger does not take from the schema of a route. */
export function finish (document: Document): Document {
  for (const operation of operationsOf(document)) {
    requireLogin(operation)
    requireHeaders(operation)
  }
  shareResponses(document)
  return document
}

/** Who is told to log in has to be. */
function requireLogin (operation: Operation): void {
  const { code } = new LoginRequiredError()
  if (JSON.stringify(operation.responses['401'] ?? '').includes(`"${code}"`)) operation.security = [{ session: [] }]
}

/** All but Set-Cookie are there whenever they are described. */
function requireHeaders (operation: Operation): void {
  for (const response of Object.values(operation.responses)) {
    const { headers = {} } = response as Response
    for (const [name, header] of Object.entries(headers)) if (name !== 'Set-Cookie') header.required = true
  }
}

/** An error that several routes answer in the same way is described once. */
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
