import type { FastifySchema } from 'fastify'
import { LONGEST_NAME, NameError } from '../../plugins/accounts/name.js'
import { BusyError, LONGEST_PASSWORD_BYTES, PasswordError } from '../../plugins/accounts/password.js'
import { BODY_ERRORS, FORM_PWD, PAGE_ERRORS, USER, exactly, formOrJson, json, pageOrJson, problems, redirect, type Schema } from '../../plugins/openapi/answers.js'
import { CredentialsError, WrongCredentialsError } from '../../plugins/login/errors.js'
import { CookieDomainError, InsecureTransportError, LogoutUnconfirmedError } from '../../plugins/session/model/errors.js'
import { StoreFullError } from '../../plugins/storage/memory/byte-budget.js'
import { SessionTooLargeError, StoreUnavailableError } from '../../plugins/store/errors.js'
import { ThrottledError } from '../../plugins/throttle/index.js'

const tags = ['Login']
const next = { type: 'string', description: 'The page after the login: a path on this origin, or an address on an allowed origin. Anything else becomes `AFTER_LOGIN`, by default the start page.' }
const querystring = { type: 'object', properties: { next } }

const fields = {
  client_name: { type: 'string', maxLength: LONGEST_NAME },
  password: { type: 'string', minLength: 1, maxLength: LONGEST_PASSWORD_BYTES, description: `The password, at most ${LONGEST_PASSWORD_BYTES} bytes.` },
  pwd: FORM_PWD,
  next
}
const body = (permanent: Schema): Schema => ({
  type: 'object',
  required: ['client_name'],
  anyOf: [{ required: ['password'] }, { required: ['pwd'] }],
  properties: { ...fields, permanent: { description: 'Keep me signed in: a longer session that survives a restart of the browser.', ...permanent } }
})

export const schemas = {
  get: {
    operationId: 'getLogin',
    tags,
    summary: 'Get the login form',
    querystring,
    response: {
      200: pageOrJson('The login form.', exactly({ user: { type: 'null' }, next })),
      303: redirect('The user is logged in already.'),
      ...problems(...PAGE_ERRORS, StoreUnavailableError)
    }
  },
  post: {
    operationId: 'logIn',
    tags,
    summary: 'Log in',
    description: 'Begins a session under a new ID. The 401 is the same for an unknown name and for a wrong password.',
    querystring,
    body: formOrJson(body({ type: 'string', enum: ['on', 'true', '1'] }), body({ enum: [true, false, 'on', 'true', '1'] })),
    response: {
      200: json('The user is logged in.', exactly({ user: USER, next })),
      303: redirect('The user is logged in.'),
      ...problems(...PAGE_ERRORS, ...BODY_ERRORS, CredentialsError, NameError, PasswordError, InsecureTransportError, CookieDomainError, WrongCredentialsError,
        SessionTooLargeError, StoreFullError, StoreUnavailableError, ThrottledError, BusyError, LogoutUnconfirmedError)
    }
  }
} satisfies Record<string, FastifySchema>
