/** What express-session and @fastify/session call it; in lower case. Their other options have a part of the name here. */
const ELSEWHERE: Readonly<Record<string, string>> = { maxage: 'sessionLifetime', expires: 'sessionLifetime' }

/** Fewer letters are part of too many names. */
const FEWEST_LETTERS = 4

/**
 * Asks, in a sentence for the end of an error text, whether another option is meant: one with the same letters, else those with
 * these letters in their names. Returns nothing if no option is like it.
 */
export function suggestionFor (unknown: string, options: readonly string[]): string {
  const letters = lettersOf(unknown)
  const same = options.filter((option) => lettersOf(option) === letters)
  const similar = letters.length < FEWEST_LETTERS ? [] : options.filter((option) => lettersOf(option).includes(letters))
  const elsewhere = ELSEWHERE[letters]
  const meant = same.length > 0 ? same : elsewhere !== undefined ? [elsewhere] : similar
  return meant.length === 0 ? '' : ` Did you mean ${meant.join(', ').replace(/, (?=[^,]*$)/, ' or ')}?`
}

function lettersOf (name: string): string {
  return name.toLowerCase().replace(/[_-]/g, '')
}
