import { createError } from '@fastify/error'
import { normalName } from '../../plugins/accounts/name.js'
import { assertPassword } from '../../plugins/accounts/password.js'
import { createUnauthorized } from '../../plugins/common/unauthorized.js'

export const CredentialsError = createError<[string]>('HATCHECK_CREDENTIALS', '%s', 400)
export const WrongCredentialsError = createUnauthorized('HATCHECK_WRONG_CREDENTIALS', 'The name or the password is wrong.')

export interface Credentials {
  name: string
  password: string
  permanent: boolean
}

/** @throws CredentialsError, NameError, PasswordError: 400, with the rule. */
export function credentialsOf (body: unknown): Credentials {
  const fields = fieldsOf(body)
  const [name, password, pwd] = ['client_name', 'password', 'pwd'].map((field) => textOf(fields, field))
  const secret = password ?? pwd
  assertPassword(secret)
  if (secret === '') throw new CredentialsError('The password is missing.')
  const { permanent } = fields
  return { name: normalName(name), password: secret, permanent: permanent === true || permanent === 'on' || permanent === 'true' || permanent === '1' }
}

/** The fields of a form or a JSON object, whichever parser has made it; none of anything else. */
export function fieldsOf (body: unknown): Record<string, unknown> {
  // A copy has what was sent and nothing inherited.
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? { ...body } : {}
}

/** A field that may be missing. @throws CredentialsError if it is no text. */
export function textOf (fields: Record<string, unknown>, field: string): string | undefined {
  const value = fields[field] ?? undefined
  if (value !== undefined && typeof value !== 'string') throw new CredentialsError(`The field ${field} must be text, and be there once.`)
  return value
}
