import type { FastifySchema } from 'fastify'
import { BusyError, PasswordError } from '../../plugins/accounts/password.js'
import { LoginRequiredError } from '../../plugins/login/index.js'
import { CrossOriginError } from '../../plugins/guards/cross-origin.js'
import { ADDRESS_ERRORS, BODY_ERRORS, TIME, exactly, formOrJson, json, nothing, pageOrJson, problems, redirect } from '../../plugins/openapi/answers.js'
import { CookieDomainError, InsecureTransportError, LogoutUnconfirmedError, SessionGoneError } from '../../plugins/session/errors.js'
import { ThrottledError } from '../../plugins/throttle/index.js'
import { CredentialsError } from '../login/credentials.js'
import { NoSuchSessionError, WhichSessionError } from './errors.js'
import { ReauthenticateError, ReauthenticationFailedError } from './reauthenticate.js'

const tags = ['Sessions']
const handle = { type: 'string', minLength: 1, description: 'Names a session, and opens nothing.' }
const ENDED = exactly({ ended: { type: 'integer', minimum: 0, description: 'How many have ended.' } })
const END_ERRORS = [...BODY_ERRORS, CrossOriginError, LoginRequiredError, ReauthenticateError, LogoutUnconfirmedError]

const fields = {
  handle,
  others: { enum: ['1', 1, true], description: 'All other sessions, in place of a handle.' },
  password: { type: 'string', maxLength: 1024, description: 'Of whoever is logged in, if the login was more than 10 minutes ago.' },
  pwd: { type: 'string', description: 'The same, if there is no password.' }
}

export const schemas = {
  list: {
    operationId: 'listSessions',
    tags,
    summary: 'My sessions',
    response: {
      200: pageOrJson('This session first, then by the newest activity. At most 250 are listed.', exactly({
        total: { type: 'integer', minimum: 1, description: 'How many sessions there are.' },
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
            current: { type: 'boolean', description: 'Whether it is the one that asks.' }
          })
        }
      })),
      303: redirect('Log in first.'),
      ...problems(LoginRequiredError)
    }
  },
  end: {
    operationId: 'endSession',
    tags,
    summary: 'End a session',
    params: { type: 'object', required: ['handle'], properties: { handle: { ...handle, maxLength: 100 } } },
    response: { 204: nothing('It has ended. One\'s own: logged out.'), ...problems(...END_ERRORS, ...ADDRESS_ERRORS, NoSuchSessionError) }
  },
  endOthers: {
    operationId: 'endOtherSessions',
    tags,
    summary: 'End all other sessions',
    response: { 200: json('They have ended.', ENDED), ...problems(...END_ERRORS) }
  },
  post: {
    operationId: 'endSessions',
    tags,
    summary: 'End a session, or all others, with the password',
    description: 'The same for forms, and for who logged in more than 10 minutes ago. The right password is a login, under a new session id.',
    body: formOrJson({ type: 'object', oneOf: [{ required: ['handle'] }, { required: ['others'] }], properties: fields }),
    response: {
      200: json('Ended.', ENDED),
      303: redirect('Ended.'),
      ...problems(...END_ERRORS, WhichSessionError, CredentialsError, PasswordError, InsecureTransportError, CookieDomainError, ReauthenticationFailedError,
        NoSuchSessionError, SessionGoneError, ThrottledError, BusyError)
    }
  }
} satisfies Record<string, FastifySchema>
