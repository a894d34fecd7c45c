import { errorCodes, type FastifyError } from 'fastify'
import { AUTHENTICATE } from '../common/http-errors.js'
import { STATUS_CODES } from '../common/node-http.js'
import { ContentCodingError, TransferCodingError } from '../guards/codings.js'
import { CrossOriginError } from '../guards/cross-origin.js'
import { DemoModeError } from '../guards/demo-guard.js'
import { HostError, TargetError, TooManyLinesError } from '../guards/host-header.js'
import { OverloadedError } from '../guards/overload.js'

/** A JSON Schema. */
export type Schema = Record<string, unknown>

/** A response in the form that @fastify/swagger reads. Each described header is present in every such response, except Set-Cookie. */
export interface Answer {
  description: string
  headers?: Record<string, Schema>
  content?: Record<string, { schema: Schema }>
  /** No body. */
  type?: 'null'
}

/** Responses by status. */
type Answers = Record<number, Answer>

/** A class made by @fastify/error. */
type ErrorClass = new (...args: never[]) => FastifyError

/** The answer of an error class. */
interface ErrorAnswer {
  code: string
  message: string
  statusCode: number
}

/** The schema of an RFC 9457 problem document. The name stays unique in an application's own OpenAPI document. */
export const problem = {
  $id: 'HatcheckProblem',
  title: 'HatcheckProblem',
  description: 'An error (RFC 9457). Programs must check `code`: the texts may change.',
  type: 'object',
  required: ['type', 'title', 'status', 'detail'],
  additionalProperties: false,
  properties: {
    type: { const: 'about:blank' },
    title: { type: 'string', minLength: 1, description: 'The standard name of the status.' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    detail: { type: 'string', minLength: 1, description: 'What is wrong and what to do, for people.' },
    code: { type: 'string', pattern: '^[A-Z][A-Z0-9_]*$', description: 'Identifies the error, for programs.' }
  }
} as const satisfies Schema

/** The schema of the user of a session. */
export const user = {
  $id: 'HatcheckUser',
  title: 'HatcheckUser',
  description: 'The user of the session.',
  type: 'object',
  required: ['name', 'authenticatedAt'],
  additionalProperties: false,
  properties: {
    name: { type: 'string', minLength: 1 },
    authenticatedAt: { type: 'string', format: 'date-time', description: 'The time of the login.' }
  }
} as const satisfies Schema

export const USER: Schema = { $ref: 'HatcheckUser#' }
export const USER_OR_NULL: Schema = { anyOf: [USER, { type: 'null' }] }
/** The user of a form, which another user may have loaded before. */
export const FORM_USER: Schema = { type: 'string', description: 'The name of the user who is expected to be logged in. If another user is, nothing changes. Optional for programs.' }
/** The second name of the field `password` of a form. */
export const FORM_PWD: Schema = { type: 'string', description: 'Another name for `password`, read if that is missing.' }
export const TIME: Schema = { type: 'string', format: 'date-time' }

const PAGE: Schema = { type: 'string' }
const SECONDS: Schema = { type: 'integer', minimum: 1, description: 'Seconds to wait before the next request.' }

const AUTHENTICATION: Schema = { type: 'string', enum: [AUTHENTICATE], description: 'The scheme that is required: the session cookie.' }

/** The header of the session cookie. */
const COOKIE: Record<string, Schema> = { 'Set-Cookie': { type: 'string', description: 'The session cookie, if it changed.' } }

/** Makes the schema of an object with these properties and no others. */
export function exactly (properties: Record<string, Schema>): Schema {
  return { type: 'object', required: Object.keys(properties), additionalProperties: false, properties }
}

/** Describes a response that is a page for browsers and JSON for other clients. */
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
  return { description, headers: { ...COOKIE, Location: { type: 'string', format: 'uri-reference', description: 'The next page.' } }, type: 'null' }
}

/** Adds headers to each of the responses. */
export function withHeaders (headers: Record<string, Schema>, answers: Answers): Answers {
  return Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, { ...answer, headers: { ...answer.headers, ...headers } }]))
}

/** Describes a request body that is a form or JSON. */
export function formOrJson (form: Schema, json: Schema = form): object {
  return { content: { 'application/json': { schema: json }, 'application/x-www-form-urlencoded': { schema: form } } }
}

/** The errors of a request body that the route ignores. */
export const IGNORED_BODY_ERRORS: readonly ErrorClass[] = [
  errorCodes.FST_ERR_CTP_INVALID_CONTENT_LENGTH,
  errorCodes.FST_ERR_CTP_BODY_TOO_LARGE,
  errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE,
  ContentCodingError
]

/** The errors of reading a request body. */
export const BODY_ERRORS: readonly ErrorClass[] = [errorCodes.FST_ERR_CTP_INVALID_JSON_BODY, ...IGNORED_BODY_ERRORS]

/** The errors of a path with a parameter. Before 5.9, Fastify has no error for a parameter that is too long: it finds no route. */
export const ADDRESS_ERRORS: readonly ErrorClass[] = [errorCodes.FST_ERR_BAD_URL, errorCodes.FST_ERR_MAX_PARAM_LENGTH as ErrorClass | undefined].filter((error) => error !== undefined)

/** The errors of the routes of the service: a handshake for a WebSocket counts as a change, whatever the route. */
export const SERVICE_ERRORS: readonly ErrorClass[] = [CrossOriginError, OverloadedError]

/** The errors of the routes that an application can have as well: its server may drop header lines. */
export const PAGE_ERRORS: readonly ErrorClass[] = [...SERVICE_ERRORS, TooManyLinesError]

/** Describes an error that a route answers with another status than its own. */
export function withStatus (status: number, error: ErrorClass): ErrorAnswer {
  return { ...answerOf(error), statusCode: status }
}

/** Describes the error responses of a route: its own errors, and those that every route can answer. The codes are read from the error classes. */
export function problems (...errors: ReadonlyArray<ErrorClass | ErrorAnswer>): Answers {
  const answered = [...errors, TargetError, HostError, TransferCodingError, DemoModeError].map((error) => typeof error === 'function' ? answerOf(error) : error)
  const statuses = new Set(answered.map(({ statusCode }) => statusCode))
  return {
    ...Object.fromEntries([...statuses].map((status) => [status, problemOf(status, answered.filter(({ statusCode }) => statusCode === status))])),
    500: problemOf(500)
  }
}

/** Describes the problem documents of a status. Without errors the code is not known. */
function problemOf (status: number, errors: readonly ErrorAnswer[] = []): Answer {
  const codes = [...new Set(errors.map(({ code }) => code))].sort()
  const own = { properties: { status: { const: status }, ...codes.length > 0 && { code: { enum: codes } } }, ...codes.length > 0 && { required: ['code'] } }
  const schema = { allOf: [{ $ref: 'HatcheckProblem#' }, { type: 'object', ...own }] }
  return {
    description: [STATUS_CODES[status], ...new Set(errors.map(lineOf))].join('\n'),
    headers: { ...COOKIE, ...status === 401 && { 'WWW-Authenticate': AUTHENTICATION }, ...(status === 429 || status === 503) && { 'Retry-After': SECONDS } },
    content: { 'application/problem+json': { schema }, 'text/html': { schema: PAGE } }
  }
}

/** Writes an error as an item of a Markdown list. */
function lineOf ({ code, message }: ErrorAnswer): string {
  const text = message.replace(/(?<=\.) %s$/, '').replaceAll(/%[sd]/g, '…')
  return `- \`${code}\`${text === '…' ? '' : `: ${text}`}`
}

function answerOf (error: ErrorClass): ErrorAnswer {
  const { code, message, statusCode = 500 } = new (error as new () => FastifyError)()
  return { code, message, statusCode }
}
