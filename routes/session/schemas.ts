import type { FastifySchema } from 'fastify'
import { ADDRESS_ERRORS, BODY_ERRORS, IGNORED_BODY_ERRORS, SERVICE_ERRORS, TIME, USER_OR_NULL, exactly, json, nothing, problems, withStatus } from '../../plugins/openapi/answers.js'
import { TooManySessionsError } from '../../plugins/session/backend/anonymous-limit.js'
import { AnonymousSessionError, CookieDomainError, InsecureTransportError, SessionGoneError, SessionKeyError, SessionValueError } from '../../plugins/session/model/errors.js'
import { SessionTooLargeError, StoreUnavailableError } from '../../plugins/store/errors.js'
import { StoreFullError } from '../../plugins/storage/memory/byte-budget.js'
import { IdentityKeyError, NoSuchKeyError } from './errors.js'

const tags = ['Values']
/** Any JSON at all. */
const VALUE = {}
const TIME_OR_NULL = { anyOf: [TIME, { type: 'null' }] }
const params = {
  type: 'object',
  required: ['key'],
  properties: { key: { type: 'string', minLength: 1, maxLength: 100, description: 'The name of the value. `client_name` and `authenticatedAt` are read-only.' } }
}
const SESSION_ERRORS = [...SERVICE_ERRORS, StoreUnavailableError]
const WRITE_ERRORS = [...SESSION_ERRORS, ...ADDRESS_ERRORS, IdentityKeyError, InsecureTransportError, CookieDomainError, SessionGoneError, SessionTooLargeError]

export const schemas = {
  all: {
    operationId: 'getSession',
    tags,
    summary: 'Get the session and its values',
    response: {
      200: json('The session. Without one, every property is null, false or empty.', exactly({
        user: USER_OR_NULL,
        createdAt: TIME_OR_NULL,
        expiresAt: { ...TIME_OR_NULL, description: 'When the session ends: the earlier of the idle timeout and the lifetime.' },
        permanent: { type: 'boolean', description: 'Whether the user stays signed in.' },
        handle: { anyOf: [{ type: 'string', minLength: 1 }, { type: 'null' }] },
        data: { type: 'object', additionalProperties: VALUE }
      })),
      ...problems(...SESSION_ERRORS)
    }
  },
  get: {
    operationId: 'getSessionValue',
    tags,
    summary: 'Get a value',
    params,
    response: { 200: json('The value.', VALUE), ...problems(...SESSION_ERRORS, ...ADDRESS_ERRORS, NoSuchKeyError) }
  },
  put: {
    operationId: 'setSessionValue',
    tags,
    summary: 'Set a value',
    description: 'The first value begins a session. Integers beyond 2^53 - 1, and objects with the key `__proto__` or with `prototype` in `constructor`, are refused. Without a login, the number of new sessions per minute and network is limited.',
    params,
    body: { content: { 'application/json': { schema: VALUE } } },
    response: {
      201: nothing('Set a value under a new key.'),
      204: nothing('Replaced the existing value.'),
      ...problems(...WRITE_ERRORS, ...BODY_ERRORS, StoreFullError, AnonymousSessionError, TooManySessionsError,
        withStatus(400, SessionKeyError), withStatus(400, SessionValueError))
    }
  },
  delete: {
    operationId: 'popSessionValue',
    tags,
    summary: 'Remove a value and return it',
    params,
    response: { 200: json('The removed value.', VALUE), ...problems(...WRITE_ERRORS, ...IGNORED_BODY_ERRORS, NoSuchKeyError) }
  }
} satisfies Record<string, FastifySchema>
