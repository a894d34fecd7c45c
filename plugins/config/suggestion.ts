/** The names that express-session and @fastify/session use, in lower case. The names of their other options occur within names of hatcheck. */
const ELSEWHERE: Readonly<Record<string, string>> = { maxage: 'sessionLifetime', expires: 'sessionLifetime' }

/** Fewer letters are part of too many names. */
const FEWEST_LETTERS = 4

/**
 * Returns a question for the end of an error text: whether the caller means another option, one with the same letters or else
 * one with these letters in its name. Returns an empty text if no option is like it.
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
