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

/** @throws if the text is no integer, or less than `least` */
export function integer (option: string, text: string, least = 1): number {
  const number = text === '' ? NaN : Number(text)
  if (!Number.isInteger(number) || number < least) throw new Error(`${option} must be an integer of ${least} or more; got "${text}".`)
  return number
}
