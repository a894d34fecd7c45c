import { normalName } from '../accounts/name.js'
import { assertPassword } from '../accounts/password.js'
import { CredentialsError } from './errors.js'
import { fieldOf, passwordIn, textOf } from './fields.js'

interface Credentials {
  name: string
  password: string
  permanent: boolean
}

/**
 * Reads the fields of a login.
 *
 * @param longestName in characters
 * @throws CredentialsError, NameError, PasswordError (400) with the rule.
 */
export function credentialsOf (body: unknown, longestName: number): Credentials {
  const credentials = assertCredentials(textOf(body, 'client_name'), passwordIn(body), longestName)
  const permanent = fieldOf(body, 'permanent')
  return { ...credentials, permanent: permanent === true || permanent === 'on' || permanent === 'true' || permanent === '1' }
}

/**
 * Normalizes a name and checks a password, before they are compared with an account.
 *
 * @param longestName in characters
 * @throws CredentialsError, NameError, PasswordError (400) with the rule.
 */
export function assertCredentials (name: unknown, password: unknown, longestName: number): Pick<Credentials, 'name' | 'password'> {
  assertPassword(password)
  // Some directories take a login without a password for an anonymous one, which succeeds.
  if (password === '') throw new CredentialsError('The password is missing.')
  return { name: normalName(name, longestName), password }
}
