/** Reads the command line. Prints the usage for `--help`, and if the command line cannot be read: then it also ends the process. */
export function orUsage<T> (usage: string, read: () => T): T {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${usage}\n`)
    process.exit(0)
  }
  try {
    return read()
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}\n`)
    process.exit(2)
  }
}

/** @throws if the text is no number, or less than 1 */
export function positiveNumber (option: string, text: string): number {
  const number = Number(text)
  if (!(number >= 1)) throw new Error(`${option} must be a positive number; got "${text}".`)
  return number
}
