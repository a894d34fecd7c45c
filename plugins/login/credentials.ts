import { normalName } from '../accounts/name.js'
import { assertPassword } from '../accounts/password.js'
import { createRefusal } from '../common/http-errors.js'

/** A field of a form, or an argument of `request.authenticate`, is missing or too long. The text is the rule. */
export const CredentialsError = createRefusal<'HATCHECK_CREDENTIALS', 400, [string]>('HATCHECK_CREDENTIALS', '%s', 400)

interface Credentials {
  name: string
  password: string
  permanent: boolean
}

/** Reads the fields of a login. @param longestName in characters @throws CredentialsError, NameError, PasswordError (400) with the rule. */
export function credentialsOf (body: unknown, longestName?: number): Credentials {
  const credentials = assertCredentials(textOf(body, 'client_name'), passwordIn(body), longestName)
  const permanent = fieldOf(body, 'permanent')
  return { ...credentials, permanent: permanent === true || permanent === 'on' || permanent === 'true' || permanent === '1' }
}

/** Reads the password of a form, under either of its names. @throws CredentialsError if one is not text. */
export function passwordIn (body: unknown): string | undefined {
  const [password, pwd] = ['password', 'pwd'].map((field) => textOf(body, field))
  return password ?? pwd
}

/** Normalizes a name and checks a password before they are compared with an account. @param longestName in characters @throws CredentialsError, NameError, PasswordError (400) */
export function assertCredentials (name: unknown, password: unknown, longestName?: number): Pick<Credentials, 'name' | 'password'> {
  assertPassword(password)
  // Some directories take a login without a password for an anonymous one, which succeeds.
  if (password === '') throw new CredentialsError('The password is missing.')
  return { name: normalName(name, longestName), password }
}

/** Reads a field of a form or of a JSON object: only what was sent, nothing inherited. */
export function fieldOf (body: unknown, field: string): unknown {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, field) ? body[field as keyof typeof body] : undefined
}

/** Reads a text field, which may be missing. @throws CredentialsError if it is not text. */
export function textOf (body: unknown, field: string): string | undefined {
  const value = fieldOf(body, field) ?? undefined
  if (value !== undefined && typeof value !== 'string') throw new CredentialsError(`The field ${field} must be text, and must appear once.`)
  return value
}
