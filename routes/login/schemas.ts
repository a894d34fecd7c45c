import type { FastifySchema } from 'fastify'
import { NameError } from '../../plugins/accounts/name.js'
import { BusyError, PasswordError } from '../../plugins/accounts/password.js'
import { CrossOriginError } from '../../plugins/guards/cross-origin.js'
import { BODY_ERRORS, USER, exactly, formOrJson, json, pageOrJson, problems, redirect, type Schema } from '../../plugins/openapi/answers.js'
import { CookieDomainError, InsecureTransportError, LogoutUnconfirmedError, SessionGoneError } from '../../plugins/session/errors.js'
import { ThrottledError } from '../../plugins/throttle/index.js'
import { CredentialsError, WrongCredentialsError } from './credentials.js'

const tags = ['Login']
const next = { type: 'string', description: 'Where to go on to: a path here, or an address on an allowed origin. Anything else is the start page.' }
const querystring = { type: 'object', properties: { next } }

const fields = {
  client_name: { type: 'string', maxLength: 64 },
  password: { type: 'string', minLength: 1, maxLength: 1024, description: 'At most 1024 bytes.' },
  pwd: { type: 'string', description: 'The same, if there is no password.' },
  next
}
const body = (permanent: Schema): Schema => ({
  type: 'object',
  required: ['client_name'],
  anyOf: [{ required: ['password'] }, { required: ['pwd'] }],
  properties: { ...fields, permanent: { description: 'Keep me signed in.', ...permanent } }
})

export const schemas = {
  get: {
    operationId: 'getLogin',
    tags,
    summary: 'The login form',
    querystring,
    response: {
      200: pageOrJson('The form.', exactly({ user: { type: 'null' }, next })),
      303: redirect('Somebody is logged in already.'),
      ...problems()
    }
  },
  post: {
    operationId: 'logIn',
    tags,
    summary: 'Log in',
    description: 'Begins a session under a new id. The 401 is the same whether the name is unknown or the password is not the right one.',
    querystring,
    body: formOrJson(body({ type: 'string', enum: ['on', 'true', '1'] }), body({ enum: [true, false, 'on', 'true', '1'] })),
    response: {
      200: json('Logged in.', exactly({ user: USER, next })),
      303: redirect('Logged in.'),
      ...problems(...BODY_ERRORS, CredentialsError, NameError, PasswordError, InsecureTransportError, CookieDomainError, WrongCredentialsError, CrossOriginError,
        SessionGoneError, ThrottledError, BusyError, LogoutUnconfirmedError)
    }
  }
} satisfies Record<string, FastifySchema>
