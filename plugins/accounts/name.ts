import createError from '@fastify/error'

export const NameError = createError<[string]>('HATCHECK_NAME', '%s', 400)

const LONGEST = 64

/**
 * A name as hatcheck keeps it: NFC, without white space around it.
 *
 * @throws NameError
 */
export function normalName (name: unknown): string {
  if (typeof name !== 'string') throw new NameError('The name is missing.')
  const normal = name.normalize('NFC').trim()
  const length = [...normal].length
  if (length === 0) throw new NameError('The name is missing.')
  if (length > LONGEST) throw new NameError(`A name may have at most ${LONGEST} characters.`)
  // Controls, lone surrogates, line and paragraph separators, and what turns the direction of text around it.
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/u.test(normal)) throw new NameError('A name must not have control characters.')
  return normal
}

/** What makes two names the same account: the case folded. */
export function accountKey (name: string): string {
  // Upper case in between folds what lower case alone leaves apart, such as ß, ẞ and ss.
  return name.toLowerCase().toUpperCase().toLowerCase().normalize('NFC')
}
