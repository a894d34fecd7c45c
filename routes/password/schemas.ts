import type { FastifySchema } from 'fastify'
import { BusyError, PasswordError } from '../../plugins/accounts/password.js'
import { LoginRequiredError } from '../../plugins/login/index.js'
import { CrossOriginError } from '../../plugins/guards/cross-origin.js'
import { BODY_ERRORS, exactly, formOrJson, json, pageOrJson, problems, redirect } from '../../plugins/openapi/answers.js'
import { CookieDomainError, InsecureTransportError } from '../../plugins/session/errors.js'
import { ThrottledError } from '../../plugins/throttle/index.js'
import { CredentialsError } from '../login/credentials.js'
import { PasswordChangeUnfinishedError, PasswordChangedError, PasswordNotChangedError, WrongPasswordError } from './errors.js'

const tags = ['Login']
const password = { type: 'string', minLength: 1, maxLength: 1024 }

export const schemas = {
  get: {
    operationId: 'getPassword',
    tags,
    summary: 'The form for another password',
    response: {
      200: pageOrJson('The form, or the rule.', exactly({ minLength: { type: 'integer', minimum: 8, description: 'Characters that a new password must have.' } })),
      303: redirect('Log in first.'),
      ...problems(LoginRequiredError)
    }
  },
  post: {
    operationId: 'changePassword',
    tags,
    summary: 'Change one\'s own password',
    description: 'This session goes on under a new id, and all others end.',
    body: formOrJson({
      type: 'object',
      required: ['current_password', 'new_password'],
      properties: { current_password: password, new_password: password, new_password_again: { ...password, description: 'If it is there, it must be the same.' } }
    }),
    response: {
      200: json('It is changed.', exactly({ ended: { type: 'integer', minimum: 0, description: 'How many other sessions have ended.' } })),
      303: redirect('It is changed.'),
      ...problems(...BODY_ERRORS, CredentialsError, PasswordError, InsecureTransportError, CookieDomainError, LoginRequiredError, CrossOriginError, WrongPasswordError,
        ThrottledError, BusyError, PasswordNotChangedError, PasswordChangedError, PasswordChangeUnfinishedError)
    }
  }
} satisfies Record<string, FastifySchema>
