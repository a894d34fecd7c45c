import { PasswordError, assertPassword } from '../../plugins/accounts/password.js'
import { CredentialsError } from '../../plugins/login/errors.js'
import { textOf } from '../../plugins/login/fields.js'

interface PasswordFields {
  current: string
  next: string
}

/**
 * Reads the fields of a password change. The form has the new password twice; a program may send it once.
 *
 * @throws CredentialsError, PasswordError (400) with the rule.
 */
export function passwordFieldsOf (body: unknown): PasswordFields {
  const current = textOf(body, 'current_password') ?? ''
  const next = textOf(body, 'new_password') ?? ''
  if (current === '') throw new CredentialsError('The current password is missing.')
  if (next === '') throw new CredentialsError('The new password is missing.')
  if ((textOf(body, 'new_password_again') ?? next) !== next) throw new CredentialsError('The two new passwords are not the same.')
  assertPassword(current)
  assertPassword(next)
  if (next.normalize() === current.normalize()) throw new PasswordError('The new password is the current one.')
  return { current, next }
}
