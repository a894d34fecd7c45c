/**
 * Sample keys from the documentation of session libraries, in lower case: `@fastify/session`, `@fastify/secure-session`,
 * express-session, iron-session, @hapi/cookie, @hapi/yar, Flask and jwt.io.
 */
const SAMPLES = [
  'a secret with minimum length of 32 characters', 'averylogphrasebiggerthanthirtytwochars', 'keyboard cat',
  'complex_password_at_least_32_characters_long', '!wsyhfa*c2u6nz=bu^%a@^f#sf3&ksr6', 'the-password-must-be-at-least-32-characters-long',
  '192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf', '_5#y2l"f4q8z\\n\\xec]/', '_5#y2l"f4q8z\n\xec]/', 'a0zr98j/3yx r~xhh!jmn]lwx/,?rt',
  'a-string-secret-at-least-256-bits-long', 'your-256-bit-secret'
]

/** Phrases and words of placeholder keys. */
const WORDS = [
  'correct horse battery staple',
  'the quick brown fox jumps over the lazy dog',
  'lorem ipsum dolor sit amet consectetur adipiscing elit',
  ...`
    admin battery bytes cat ch4ng3 change changed changeit changeme changethis characters chars complex correct default demo dev develop development
    dont dragon dummy easy enough example fake flask foobar guess has hello horse insecure keyboard l33t least length letmein letters local localhost
    long longer me minimum monkey must my p4ssw0rd pa55word pass passphrase passw0rd password phrase placeholder please pwd qwerty random replace
    replaced replacement s3cr3t s3cret safe salt sample secr3t secret secrets secure shhh string strong stronger sufficiently super temp temporary that
    and could ever it more nobody than that this is should be do not in production todo unique use very welcome with world your yours
  `.trim().split(/\s+/)
]

/** A word matches together with the punctuation beside it. */
const wellKnown = new RegExp(`${anyOf(SAMPLES)}|[ -/:-@_]?${anyOf(WORDS)}[ -/:-@_]?`, 'g')

/** Keyboard rows, and the alphabet. */
const ROWS = ['qwertyuiop', 'asdfghjkl', 'zxcvbnm', 'qwertzuiop', '1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p', '1q2w3e4r5t6y7u8i9o0p', 'abcdefghijklmnopqrstuvwxyz', '01234567890']
const KNOWN = ROWS.flatMap((row) => [row, [...row].reverse().join('')]).join('\0') + '\0'
const KNOWN_STEPS = stepsOf(KNOWN)

/** A match of three characters is chance. */
const MIN_MATCH = 4
/** The estimate reads at most this many bytes of a key. */
const MAX_BYTES = 4_096

/**
 * Estimates the strength of a key: about the bits that a compressor needs which knows what people type. Well-known words count
 * nothing. Repetitions, sequences in equal steps and keyboard rows count as the position that they are copied from. Any other
 * byte counts as a choice among the bytes of the key.
 *
 * @param enough the count at which the estimate stops.
 */
export function estimateBits (secret: Uint8Array, enough = Infinity): number {
  const rest = Buffer.from(secret).subarray(0, MAX_BYTES).toString('latin1').toLowerCase().replace(wellKnown, '')
  const perByte = Math.log2(new Set(rest).size)
  const [text, steps] = [KNOWN + rest, KNOWN_STEPS + stepsOf(rest)]
  let bits = 0
  for (let at = KNOWN.length; at < text.length && bits < enough;) {
    const length = Math.max(matchAt(text, at), matchAt(steps, at))
    bits += length === 0 ? perByte : Math.min(Math.log2(at), length * perByte)
    at += length === 0 ? 1 : length
  }
  return bits
}

/** Returns how many characters from there on repeat earlier ones; 0 if that is chance. */
function matchAt (text: string, at: number): number {
  let length = MIN_MATCH
  let from = at - 1
  while (at + length <= text.length && (from = text.lastIndexOf(text.slice(at, at + length), from)) !== -1) length++
  return length === MIN_MATCH ? 0 : length - 1
}

/** Tries the longest first, since it may begin with another. */
function anyOf (texts: readonly string[]): string {
  const longestFirst = [...texts].sort((a, b) => b.length - a.length)
  return `(?:${longestFirst.map((text) => text.replace(/[^a-z0-9]/g, '\\$&')).join('|')})`
}

/** Returns the differences between neighboring bytes, in which 0123 and abcd are the same. */
function stepsOf (text: string): string {
  return String.fromCharCode(...Array.from(text, (_, i) => i === 0 ? 0 : (text.charCodeAt(i) - text.charCodeAt(i - 1) + 256) % 256))
}
