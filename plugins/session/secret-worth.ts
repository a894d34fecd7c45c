/**
 * Whole keys that stand in the documentation of session libraries, in lower case: of @fastify/session, @fastify/secure-session,
 * express-session, iron-session, @hapi/cookie, @hapi/yar, Flask and jwt.io.
 */
const SAMPLES = [
  'a secret with minimum length of 32 characters', 'averylogphrasebiggerthanthirtytwochars', 'keyboard cat',
  'complex_password_at_least_32_characters_long', '!wsyhfa*c2u6nz=bu^%a@^f#sf3&ksr6', 'the-password-must-be-at-least-32-characters-long',
  '192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf', '_5#y2l"f4q8z\\n\\xec]/', '_5#y2l"f4q8z\n\xec]/', 'a0zr98j/3yx r~xhh!jmn]lwx/,?rt',
  'a-string-secret-at-least-256-bits-long', 'your-256-bit-secret'
]

/** Phrases and words of keys that people make up. */
const WORDS = [
  'correct horse battery staple',
  'the quick brown fox jumps over the lazy dog',
  'lorem ipsum dolor sit amet consectetur adipiscing elit',
  ...`
    about access account actually admin after again always and another any anything api app apple application are attempt auth authentication banana
    battery because before best better bigger bits but bytes can cannot case cat ch4ng3 change changed changeit changeme changethis char character
    characters chars client code config cookie cookies correct could crypto database debug default demo deploy dev devel development does dont dragon
    dummy easy encryption enough environment ever every example express fake fastify file first flask foobar for from generate generated good guess
    guessed has hatcheck have hello here hidden hmac horse important insecure insert into iron just jwt keep key keyboard keys l33t least length letmein
    letter letters like local localhost login long longer made make master maybe minimum monkey more most must name need needs never next nobody node not
    nothing number one only other our over p4ssw0rd pa55word pass passphrase passw0rd password phrase placeholder please private prod production project
    public put pwd qwerty random randomly really replace replaced replacement s3cr3t s3cret safe salt sample secr3t secret secrets secure security server
    service session sessions set shared shhh should sign signing simple site some somebody something staging staple store string strong stronger
    sufficiently super sure temp temporary test testing tests text than that the then there these thing thirty this those time todo token tokens too true
    tutorial two ultra unique use used user users using value very want web webapp website welcome what when which will with without word words world
    would write you your yours
  `.trim().split(/\s+/)
]

/** A word goes with the signs beside it, which stand between words. */
const wellKnown = new RegExp(`${anyOf(SAMPLES)}|[ -/:-@_]?${anyOf(WORDS)}[ -/:-@_]?`, 'g')

/** Rows that a hand follows over the keyboard, and the alphabet. */
const ROWS = ['qwertyuiop', 'asdfghjkl', 'zxcvbnm', 'qwertzuiop', '1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p', '1q2w3e4r5t6y7u8i9o0p', 'abcdefghijklmnopqrstuvwxyz', '01234567890']
const KNOWN = ROWS.flatMap((row) => [row, [...row].reverse().join('')]).join('\0') + '\0'
const KNOWN_STEPS = stepsOf(KNOWN)

/** Three in a row are chance. */
const SHORTEST_MATCH = 4
/** What comes after so many bytes of a pattern is not looked at. */
const MOST_BYTES = 4_096

/**
 * How many bits a key is worth: about as many as a compressor would need for it that knows what people type. Well-known words
 * are worth nothing. What was there before, what goes on in equal steps, and rows of the keyboard are worth the place that they
 * are copied from. Any other byte is worth a choice among those that the key has.
 *
 * @param enough counting ends there.
 */
export function bitsOf (secret: Uint8Array, enough = Infinity): number {
  const rest = Buffer.from(secret).subarray(0, MOST_BYTES).toString('latin1').toLowerCase().replace(wellKnown, '')
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

/** How many characters from there on are the same as somewhere before; 0 if it is chance. */
function matchAt (text: string, at: number): number {
  let length = SHORTEST_MATCH
  let from = at - 1
  while (at + length <= text.length && (from = text.lastIndexOf(text.slice(at, at + length), from)) !== -1) length++
  return length === SHORTEST_MATCH ? 0 : length - 1
}

/** The longest first: it may begin with another. */
function anyOf (texts: readonly string[]): string {
  const longestFirst = [...texts].sort((a, b) => b.length - a.length)
  return `(?:${longestFirst.map((text) => text.replace(/[^a-z0-9]/g, '\\$&')).join('|')})`
}

/** From each byte to the next, so that 0123 and abcd are the same. */
function stepsOf (text: string): string {
  return String.fromCharCode(...Array.from(text, (_, i) => i === 0 ? 0 : (text.charCodeAt(i) - text.charCodeAt(i - 1) + 256) % 256))
}
