import { createRefusal } from '../common/http-errors.js'
import { ownText } from '../common/own-text.js'
import { accountKey } from '../store/accounts.js'

/** A name breaks a rule. The text is the rule. */
export const NameError = createRefusal<'HATCHECK_NAME', 400, [string]>('HATCHECK_NAME', '%s', 400)

/** The longest name of an account, in characters. */
export const LONGEST_NAME = 64
/**
 * The longest name as it is sent, in UTF-16 units. NFC shortens a text to a quarter at most, and its cost grows with the square
 * of the combining marks in a row: a longer text is refused before it is normalized.
 */
export const LONGEST_SENT_NAME = 4 * LONGEST_NAME

let emoji: RegExp | undefined
/** Letters and the keyboard's symbols: every emoji has some other character. */
const NO_EMOJI = /^[\p{L} -~]*$/u
/** Control characters, direction marks, invisible characters, surrogates and unassigned code points. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u

const SPACES = /\p{Zs}+/gu
/** Fullwidth and halfwidth forms. */
const WIDE = /[\uFF01-\uFFEE]/g

/** The characters that an identifier may contain anywhere. Source: RFC 8264, sections 8 and 9. */
const LETTER_OR_DIGIT = /^[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}\u06FD\u06FE\u0F0B\u3007]$/u
/** Letters by category that identifiers must not contain: old Hangul, and marks for spelling and for vertical text. */
const NO_LETTER = /^(?:[\u1100-\u11FF\uA960-\uA97F\uD7B0-\uD7FF\u0640\u07FA\u3031-\u3035\u303B]|\u302E|\u302F)$/u
/** Characters that are allowed only beside certain letters. Source: RFC 5892, appendices A.3 to A.7. */
const IN_CONTEXT = /(?<=l)\u00B7(?=l)|\u0375(?=\p{Script=Greek})|(?<=\p{Script=Hebrew})[\u05F3\u05F4]|(?<=[\p{sc=Hira}\p{sc=Kana}\p{sc=Han}].*)\u30FB|\u30FB(?=.*[\p{sc=Hira}\p{sc=Kana}\p{sc=Han}])/gu
/** Mixes two ways to write the same digits. Source: RFC 5892, appendices A.8 and A.9. */
const MIXED_DIGITS = /[\u0660-\u0669].*[\u06F0-\u06F9]|[\u06F0-\u06F9].*[\u0660-\u0669]/u

/**
 * Normalizes a name as a user gives it: NFC, trimmed.
 *
 * @param longest in characters; the users of an application may have longer names, such as an address for mail
 * @throws NameError
 */
export function normalName (name: unknown, longest = LONGEST_NAME): string {
  if (typeof name !== 'string') throw new NameError('The name is missing.')
  const sent = name.trim()
  if (sent.length > LONGEST_SENT_NAME) throw tooLong(longest)
  const normal = sent.normalize('NFC')
  const length = [...normal].length
  if (length === 0) throw new NameError('The name is missing.')
  if (length > longest) throw tooLong(longest)
  // A replacement character stands for any bytes that are not UTF-8, so different names would be equal.
  if (normal.includes('\ufffd')) throw new NameError('A name must be valid Unicode text: it contains a character that cannot be decoded.')
  // Otherwise two names that look the same could be two accounts.
  if (UNSEEN.test(withoutEmoji(normal))) throw new NameError('A name must not contain control characters, or invisible characters outside emoji.')
  return ownText(normal)
}

/**
 * Unifies the spelling of names that differ only in their spaces or in the width of their characters. The rate limit and new
 * accounts use the unified spelling; an account created under another spelling keeps it.
 */
export function unifySpelling (name: string): string {
  return name.replace(WIDE, (character) => character.normalize('NFKC')).normalize('NFC').replace(SPACES, ' ').trim()
}

/**
 * Checks the name of a new account and returns its unified spelling. The rule is the profile UsernameCasePreserved of PRECIS
 * (RFC 8265, section 3.4), with single spaces between parts (section 3.5), and with emoji. The bidirectional rule is not applied.
 *
 * @throws NameError
 */
export function newName (name: unknown): string {
  const spelled = unifySpelling(normalName(name))
  if ([...spelled].length > LONGEST_NAME) throw tooLong(LONGEST_NAME)
  const rest = withoutEmoji(spelled).replace(IN_CONTEXT, '')
  if (MIXED_DIGITS.test(rest) || ![...rest].every(isAllowedInNames)) {
    throw new NameError('A name can contain letters, digits, spaces, the symbols of a keyboard and emoji; no other symbols, and no characters that look empty.')
  }
  return spelled
}

/** Returns the keys under which the account of a typed name may be stored; the exact spelling comes first. @throws NameError */
export function accountKeys (name: unknown): string[] {
  const normal = normalName(name)
  return [...new Set([normal, unifySpelling(normal)].map(accountKey))]
}

/** Removes emoji, the only place where invisible characters have a visible effect. */
function withoutEmoji (name: string): string {
  if (NO_EMOJI.test(name)) return name
  // Made at the first need: it takes 40 ms, which the start of every program would have to wait for.
  // eslint-disable-next-line prefer-regex-literals -- the compiler accepts a literal with this flag only for es2024, which Node 20 supports in part
  emoji ??= new RegExp('\\p{RGI_Emoji}', 'gv')
  return name.replace(emoji, '')
}

function isAllowedInNames (character: string): boolean {
  if (character >= ' ' && character <= '~') return true
  // A compatibility character looks like the character that it stands for.
  return LETTER_OR_DIGIT.test(character) && !NO_LETTER.test(character) && character.normalize('NFKC') === character
}

function tooLong (longest: number): Error {
  return new NameError(`A name can have at most ${longest} characters.`)
}
