import { createError } from '@fastify/error'

export const NameError = createError<[string]>('HATCHECK_NAME', '%s', 400)

const LONGEST = 64

/** Emoji as people send them: the only place where what is invisible has a meaning that everyone sees. */
// eslint-disable-next-line prefer-regex-literals -- the compiler takes a literal with this flag for es2024 alone, which Node 20 has in part
const EMOJI = new RegExp('\\p{RGI_Emoji}', 'gv')
/** Controls, what turns the direction of text around, what has no shape, half characters, and what no character is yet. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u

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
  // Two names that look the same would be two accounts.
  if (UNSEEN.test(normal.replace(EMOJI, ''))) throw new NameError('A name must not have control characters, nor invisible ones outside emoji.')
  return normal
}

/** What makes two names the same account: the case folded. */
export function accountKey (name: string): string {
  // Upper case in between folds what lower case alone leaves apart, such as ß, ẞ and ss.
  return name.toLowerCase().toUpperCase().toLowerCase().normalize('NFC')
}
