import { createError } from '@fastify/error'
import { accountKey } from '../store/accounts.js'

export const NameError = createError<[string]>('HATCHECK_NAME', '%s', 400)

/** In characters, as the name is kept. */
const LONGEST = 64
/**
 * In UTF-16 units, as the name is sent. NFC writes at most four of them as one, and its cost grows with the square of the
 * combining marks in a row: a longer text is refused before it is normalized.
 */
export const LONGEST_SENT = 4 * LONGEST

/** Emoji as people send them: the only place where what is invisible has a meaning that everyone sees. */
// eslint-disable-next-line prefer-regex-literals -- the compiler takes a literal with this flag for es2024 alone, which Node 20 has in part
const EMOJI = new RegExp('\\p{RGI_Emoji}', 'gv')
/** Controls, what turns the direction of text around, what has no shape, half characters, and what no character is yet. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u

const SPACES = /\p{Zs}+/gu
/** Fullwidth and halfwidth forms. */
const WIDE = /[\uFF01-\uFFEE]/g

/** What an identifier may have without looking at its neighbours. Source: RFC 8264, sections 8 and 9. */
const LETTER_OR_DIGIT = /^[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}\u06FD\u06FE\u0F0B\u3007]$/u
/** Letters by their category, but not for identifiers: old Hangul, and marks for spelling and for vertical text. */
const NO_LETTER = /^(?:[\u1100-\u11FF\uA960-\uA97F\uD7B0-\uD7FF\u0640\u07FA\u3031-\u3035\u303B]|\u302E|\u302F)$/u
/** What has a place between some letters and nowhere else. Source: RFC 5892, appendices A.3 to A.7. */
const IN_CONTEXT = /(?<=l)\u00B7(?=l)|\u0375(?=\p{Script=Greek})|(?<=\p{Script=Hebrew})[\u05F3\u05F4]|(?<=[\p{sc=Hira}\p{sc=Kana}\p{sc=Han}].*)\u30FB|\u30FB(?=.*[\p{sc=Hira}\p{sc=Kana}\p{sc=Han}])/gu
/** Two ways to write the same digits. Source: RFC 5892, appendices A.8 and A.9. */
const MIXED_DIGITS = /[\u0660-\u0669].*[\u06F0-\u06F9]|[\u06F0-\u06F9].*[\u0660-\u0669]/u

/**
 * A name as somebody gives it: NFC, without white space around it.
 *
 * @throws NameError
 */
export function normalName (name: unknown): string {
  if (typeof name !== 'string') throw new NameError('The name is missing.')
  const sent = name.trim()
  if (sent.length > LONGEST_SENT) throw tooLong()
  const normal = sent.normalize('NFC')
  const length = [...normal].length
  if (length === 0) throw new NameError('The name is missing.')
  if (length > LONGEST) throw tooLong()
  // Two names that look the same would be two accounts.
  if (UNSEEN.test(normal.replace(EMOJI, ''))) throw new NameError('A name must not have control characters, nor invisible ones outside emoji.')
  return normal
}

/**
 * The one spelling of a name that differs only in its spaces, or in the width of its characters, from others. Throttling
 * goes by it, and so do new accounts; one that was made under another spelling keeps it.
 */
export function spelledOut (name: string): string {
  return name.replace(WIDE, (character) => character.normalize('NFKC')).normalize('NFC').replace(SPACES, ' ').trim()
}

/**
 * A name that a new account can have: the profile UsernameCasePreserved of PRECIS (RFC 8265, section 3.4), with single
 * spaces between its parts (section 3.5), and with emoji. The bidirectional rule is not applied.
 *
 * @throws NameError
 */
export function newName (name: unknown): string {
  const spelled = spelledOut(normalName(name))
  if ([...spelled].length > LONGEST) throw tooLong()
  const rest = spelled.replace(EMOJI, '').replace(IN_CONTEXT, '')
  if (MIXED_DIGITS.test(rest) || ![...rest].every(isForNames)) {
    throw new NameError('A name may have letters, digits, spaces, the signs of a keyboard and emoji: nothing that looks empty, and no other signs.')
  }
  return spelled
}

/** What the account of a name that was typed may be kept under, the name as it was typed first. @throws NameError */
export function accountKeys (name: unknown): string[] {
  const normal = normalName(name)
  return [...new Set([normal, spelledOut(normal)].map(accountKey))]
}

function isForNames (character: string): boolean {
  if (character >= ' ' && character <= '~') return true
  // What is written in another way for compatibility looks like what it stands for.
  return LETTER_OR_DIGIT.test(character) && !NO_LETTER.test(character) && character.normalize('NFKC') === character
}

function tooLong (): Error {
  return new NameError(`A name may have at most ${LONGEST} characters.`)
}
