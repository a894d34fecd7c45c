import { CredentialsError } from './errors.js'

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

/** Reads the password of a form, under either of its names. @throws CredentialsError if one is not text. */
export function passwordIn (body: unknown): string | undefined {
  const [password, pwd] = ['password', 'pwd'].map((field) => textOf(body, field))
  return password ?? pwd
}
