import { errorCodes, type FastifyError } from 'fastify'
import { STATUS_CODES } from 'node:http'
import { AUTHENTICATE } from '../common/http-errors.js'
import { DemoModeError } from '../guards/demo-guard.js'
import { HostError, TooManyLinesError } from '../guards/host-header.js'
import { OverloadedError } from '../guards/overload.js'
import { StoreUnavailableError } from '../store/errors.js'

/** A JSON Schema. */
export type Schema = Record<string, unknown>

/** An answer as @fastify/swagger reads it: a header that is described is in every such answer, but for Set-Cookie. */
export interface Answer {
  description: string
  headers?: Record<string, Schema>
  content?: Record<string, { schema: Schema }>
  /** No body. */
  type?: 'null'
}

/** By status. */
export type Answers = Record<number, Answer>

/** What @fastify/error makes. */
type ErrorClass = new (...args: never[]) => FastifyError
interface Refusal {
  code: string
  message: string
  statusCode: number
}

/** An RFC 9457 problem document, under this name in the document of whatever application it is in. */
export const problem = {
  $id: 'HatcheckProblem',
  title: 'HatcheckProblem',
  description: 'An error (RFC 9457). Go by the code: the texts may change.',
  type: 'object',
  required: ['type', 'title', 'status', 'detail'],
  additionalProperties: false,
  properties: {
    type: { const: 'about:blank' },
    title: { type: 'string', minLength: 1, description: 'The words of the status.' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string', minLength: 1, description: 'What is wrong, for people.' },
    code: { type: 'string', pattern: '^[A-Z][A-Z0-9_]*$', description: 'What is wrong, for programs.' }
  }
} as const satisfies Schema

/** Who is logged in. */
export const user = {
  $id: 'HatcheckUser',
  title: 'HatcheckUser',
  description: 'Who is logged in.',
  type: 'object',
  required: ['name', 'authenticatedAt'],
  additionalProperties: false,
  properties: {
    name: { type: 'string', minLength: 1 },
    authenticatedAt: { type: 'string', format: 'date-time', description: 'When the login was.' }
  }
} as const satisfies Schema

export const USER: Schema = { $ref: 'HatcheckUser#' }
export const USER_OR_NULL: Schema = { anyOf: [USER, { type: 'null' }] }
export const TIME: Schema = { type: 'string', format: 'date-time' }

const PAGE: Schema = { type: 'string' }
const SECONDS: Schema = { type: 'integer', minimum: 1, description: 'Seconds after which to ask again.' }

const AUTHENTICATION: Schema = { type: 'string', enum: [AUTHENTICATE], description: 'What is asked for: the session cookie.' }

/** A header with the cookies that have changed. */
export const COOKIE: Record<string, Schema> = { 'Set-Cookie': { type: 'string', description: 'The session cookie, if it has changed.' } }

/** An object that has these properties and no other. */
export function exactly (properties: Record<string, Schema>): Schema {
  return { type: 'object', required: Object.keys(properties), additionalProperties: false, properties }
}

/** A page for browsers, JSON for whoever would rather have that. */
export function pageOrJson (description: string, schema: Schema): Answer {
  return { description, headers: COOKIE, content: { 'application/json': { schema }, 'text/html': { schema: PAGE } } }
}

export function json (description: string, schema: Schema): Answer {
  return { description, headers: COOKIE, content: { 'application/json': { schema } } }
}

export function nothing (description: string): Answer {
  return { description, headers: COOKIE, type: 'null' }
}

export function redirect (description: string): Answer {
  return { description, headers: { ...COOKIE, Location: { type: 'string', format: 'uri-reference', description: 'Where to go on to.' } }, type: 'null' }
}

/** The same answers, each of which has these headers. */
export function withHeaders (headers: Record<string, Schema>, answers: Answers): Answers {
  return Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, { ...answer, headers: { ...answer.headers, ...headers } }]))
}

/** A body that may be a form or JSON. */
export function formOrJson (form: Schema, json: Schema = form): object {
  return { content: { 'application/json': { schema: json }, 'application/x-www-form-urlencoded': { schema: form } } }
}

/** What reading a body may end in. */
export const BODY_ERRORS: readonly ErrorClass[] = [
  errorCodes.FST_ERR_CTP_EMPTY_JSON_BODY,
  errorCodes.FST_ERR_CTP_INVALID_JSON_BODY,
  errorCodes.FST_ERR_CTP_INVALID_CONTENT_LENGTH,
  errorCodes.FST_ERR_CTP_BODY_TOO_LARGE,
  errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE
]

/** What an address with a parameter may end in. */
export const ADDRESS_ERRORS: readonly ErrorClass[] = [errorCodes.FST_ERR_BAD_URL, errorCodes.FST_ERR_MAX_PARAM_LENGTH]

/** The same error where it has another status. */
export function withStatus (status: number, error: ErrorClass): Refusal {
  return { ...refusalOf(error), statusCode: status }
}

/** The answers of a route for its errors, and for those that every route may end in. The codes are those of the errors. */
export function problems (...errors: ReadonlyArray<ErrorClass | Refusal>): Answers {
  const refusals = [...errors, HostError, TooManyLinesError, DemoModeError, OverloadedError, StoreUnavailableError].map((error) => typeof error === 'function' ? refusalOf(error) : error)
  const statuses = new Set(refusals.map(({ statusCode }) => statusCode))
  return {
    ...Object.fromEntries([...statuses].map((status) => [status, problemOf(status, refusals.filter(({ statusCode }) => statusCode === status))])),
    500: problemOf(500)
  }
}

/** With all codes that it may have; without any, one of nobody knows what. */
function problemOf (status: number, refusals: readonly Refusal[] = []): Answer {
  const codes = [...new Set(refusals.map(({ code }) => code))].sort()
  const own = { properties: { status: { const: status }, ...codes.length > 0 && { code: { enum: codes } } }, ...codes.length > 0 && { required: ['code'] } }
  const schema = { allOf: [{ $ref: 'HatcheckProblem#' }, { type: 'object', ...own }] }
  return {
    description: [STATUS_CODES[status], ...new Set(refusals.map(lineOf))].join('\n'),
    headers: { ...COOKIE, ...status === 401 && { 'WWW-Authenticate': AUTHENTICATION }, ...(status === 429 || status === 503) && { 'Retry-After': SECONDS } },
    content: { 'application/problem+json': { schema }, 'text/html': { schema: PAGE } }
  }
}

/** A line of a Markdown list. */
function lineOf ({ code, message }: Refusal): string {
  const text = message.replace(/(?<=\.) %s$/, '').replaceAll(/%[sd]/g, '…')
  return `- \`${code}\`${text === '…' ? '' : `: ${text}`}`
}

function refusalOf (error: ErrorClass): Refusal {
  const { code, message, statusCode = 500 } = new (error as new () => FastifyError)()
  return { code, message, statusCode }
}
