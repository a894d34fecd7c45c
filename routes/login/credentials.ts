import createError from '@fastify/error'
import { normalName } from '../../plugins/accounts/name.js'
import { assertPassword } from '../../plugins/accounts/password.js'

export const CredentialsError = createError<[string]>('HATCHECK_CREDENTIALS', '%s', 400)

export interface Credentials {
  name: string
  password: string
  permanent: boolean
}

/** @throws CredentialsError, NameError, PasswordError: 400, with the rule. */
export function credentialsOf (body: unknown): Credentials {
  const { client_name: name, password, pwd, permanent } = fieldsOf(body)
  const secret = password ?? pwd
  assertPassword(secret)
  if (secret === '') throw new CredentialsError('The password is missing.')
  return { name: normalName(name), password: secret, permanent: permanent === true || permanent === 'on' || permanent === 'true' || permanent === '1' }
}

/** The fields of a form or a JSON object; none of anything else. */
export function fieldsOf (body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? body as Record<string, unknown> : {}
}
