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
  const [name, password, pwd] = ['client_name', 'password', 'pwd'].map((field) => textOf(body, field))
  const secret = password ?? pwd
  assertPassword(secret)
  if (secret === '') throw new CredentialsError('The password is missing.')
  const permanent = fieldOf(body, 'permanent')
  return { name: normalName(name), password: secret, permanent: permanent === true || permanent === 'on' || permanent === 'true' || permanent === '1' }
}

/** A field of a form or of a JSON object, whichever parser has made it: what was sent, and nothing inherited. */
export function fieldOf (body: unknown, field: string): unknown {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, field) ? body[field as keyof typeof body] : undefined
}

/** A field that may be missing. @throws CredentialsError if it is no text. */
export function textOf (body: unknown, field: string): string | undefined {
  const value = fieldOf(body, field) ?? undefined
  if (value !== undefined && typeof value !== 'string') throw new CredentialsError(`The field ${field} must be text, and be there once.`)
  return value
}
