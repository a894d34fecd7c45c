import type { FastifySchema } from 'fastify'
import { BusyError, LONGEST_PASSWORD_BYTES, PasswordError } from '../../plugins/accounts/password.js'
import { CredentialsError, LoginRequiredError, OtherUserError } from '../../plugins/login/errors.js'
import { BODY_ERRORS, FORM_USER, PAGE_ERRORS, exactly, formOrJson, json, pageOrJson, problems, redirect } from '../../plugins/openapi/answers.js'
import { CookieDomainError, InsecureTransportError } from '../../plugins/session/model/errors.js'
import { StoreUnavailableError } from '../../plugins/store/errors.js'
import { ThrottledError } from '../../plugins/throttle/index.js'
import { PasswordChangeUnfinishedError, PasswordChangedError, PasswordNotChangedError, PasswordOvertakenError, WrongPasswordError } from './errors.js'

const tags = ['Login']
const password = { type: 'string', minLength: 1, maxLength: LONGEST_PASSWORD_BYTES }

export const schemas = {
  get: {
    operationId: 'getPassword',
    tags,
    summary: 'Get the form for a password change',
    response: {
      200: pageOrJson('The form; as JSON, the rule for a new password.', exactly({ minLength: { type: 'integer', minimum: 8, description: 'The minimum length of a new password, in characters.' } })),
      303: redirect('Log in first.'),
      ...problems(...PAGE_ERRORS, LoginRequiredError, StoreUnavailableError)
    }
  },
  post: {
    operationId: 'changePassword',
    tags,
    summary: 'Change the password',
    description: 'Changes the password of the logged-in user. This session goes on under a new ID; all other sessions of the user end.',
    body: formOrJson({
      type: 'object',
      required: ['current_password', 'new_password'],
      properties: { current_password: password, new_password: password, new_password_again: { ...password, description: 'The new password again. Optional for programs; if present, it must be the same.' }, user: FORM_USER }
    }),
    response: {
      200: json('The password has been changed.', exactly({ ended: { type: 'integer', minimum: 0, description: 'The number of other sessions that ended.' } })),
      303: redirect('The password has been changed.'),
      ...problems(...PAGE_ERRORS, ...BODY_ERRORS, CredentialsError, PasswordError, InsecureTransportError, CookieDomainError, LoginRequiredError, OtherUserError, WrongPasswordError,
        StoreUnavailableError, ThrottledError, BusyError, PasswordNotChangedError, PasswordChangedError, PasswordOvertakenError, PasswordChangeUnfinishedError)
    }
  }
} satisfies Record<string, FastifySchema>
