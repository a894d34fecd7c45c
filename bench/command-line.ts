/** Reads the command line. Prints the usage and ends the process for `--help`, and if the command line cannot be read. */
export function readCommandLine<T> (usage: string, read: () => T): T {
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

/** @throws if the text is no integer, or less than 1 */
export function positiveInteger (option: string, text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1) throw new Error(`${option} must be a positive integer; got "${text}".`)
  return number
}
