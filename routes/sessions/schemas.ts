import type { FastifySchema } from 'fastify'
import { BusyError, LONGEST_PASSWORD_BYTES, PasswordError } from '../../plugins/accounts/password.js'
import { CredentialsError, LoginRequiredError, OtherUserError, ReauthenticateError, ReauthenticationFailedError } from '../../plugins/login/errors.js'
import { ADDRESS_ERRORS, BODY_ERRORS, FORM_PWD, FORM_USER, PAGE_ERRORS, TIME, exactly, formOrJson, json, nothing, pageOrJson, problems, redirect } from '../../plugins/openapi/answers.js'
import { CookieDomainError, InsecureTransportError, LogoutUnconfirmedError, SessionGoneError } from '../../plugins/session/model/errors.js'
import { StoreFullError } from '../../plugins/storage/memory/byte-budget.js'
import { RevocationOffError, SessionTooLargeError, SessionsInCookiesError, StoreMethodMissingError, StoreUnavailableError } from '../../plugins/store/errors.js'
import { ThrottledError } from '../../plugins/throttle/index.js'
import { NoSuchSessionError, WhichSessionError } from './errors.js'

const tags = ['Sessions']
const handle = { type: 'string', minLength: 1, description: 'Names a session in lists and logs. It gives no access to the session.' }
const ENDED = exactly({ ended: { type: 'integer', minimum: 0, description: 'The number of sessions that ended; 0 if the sessions are in the cookies of the browsers, because their number is unknown.' } })
const USER_ERRORS = [...PAGE_ERRORS, LoginRequiredError, StoreMethodMissingError, StoreUnavailableError]
const END_ERRORS = [...USER_ERRORS, ...BODY_ERRORS, ReauthenticateError]
const END_ONE_ERRORS = [NoSuchSessionError, SessionsInCookiesError, LogoutUnconfirmedError]

const fields = {
  handle,
  others: { enum: ['1', 1, true], description: 'Ends all other sessions, instead of `handle`.' },
  password: { type: 'string', maxLength: LONGEST_PASSWORD_BYTES, description: 'The password of the user, needed if the login was more than 10 minutes ago.' },
  pwd: FORM_PWD,
  user: FORM_USER
}

export const schemas = {
  list: {
    operationId: 'listSessions',
    tags,
    summary: 'List my sessions',
    response: {
      200: pageOrJson('The session of the request first, then the others by newest activity. At most 250 are listed.', exactly({
        total: { type: ['integer', 'null'], minimum: 1, description: 'The number of sessions of the user; null if the sessions are in the cookies of the browsers, because only that of the request is known.' },
        sessions: {
          type: 'array',
          minItems: 1,
          items: exactly({
            handle,
            createdAt: TIME,
            lastSeenAt: TIME,
            expiresAt: TIME,
            permanent: { type: 'boolean' },
            client: { type: 'string', minLength: 1, description: 'Browser and system at the login, such as `Firefox on Linux`.' },
            address: { type: 'string', minLength: 1, description: 'The network at the login, such as `192.0.2.x`.' },
            current: { type: 'boolean', description: 'Whether it is the session of the request.' }
          })
        }
      })),
      303: redirect('Log in first.'),
      ...problems(...USER_ERRORS)
    }
  },
  end: {
    operationId: 'endSession',
    tags,
    summary: 'End a session',
    params: { type: 'object', required: ['handle'], properties: { handle: { ...handle, maxLength: 100 } } },
    response: { 204: nothing('The session has ended. If it was the session of the request, the user is logged out.'), ...problems(...END_ERRORS, ...END_ONE_ERRORS, ...ADDRESS_ERRORS) }
  },
  endOthers: {
    operationId: 'endOtherSessions',
    tags,
    summary: 'End all other sessions',
    response: { 200: json('The other sessions have ended.', ENDED), ...problems(...END_ERRORS, RevocationOffError) }
  },
  post: {
    operationId: 'endSessions',
    tags,
    summary: 'End one or all other sessions, with the password',
    description: 'The form version of the two operations above, with a `password` field: needed if the login was more than 10 minutes ago. The right password counts as a new login, under a new session ID.',
    body: formOrJson({ type: 'object', oneOf: [{ required: ['handle'] }, { required: ['others'] }], properties: fields }),
    response: {
      200: json('The sessions have ended.', ENDED),
      303: redirect('The sessions have ended.'),
      ...problems(...END_ERRORS, ...END_ONE_ERRORS, RevocationOffError, OtherUserError, WhichSessionError, CredentialsError, PasswordError, InsecureTransportError, CookieDomainError,
        ReauthenticationFailedError, SessionGoneError, SessionTooLargeError, StoreFullError, ThrottledError, BusyError)
    }
  }
} satisfies Record<string, FastifySchema>
