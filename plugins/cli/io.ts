import type { Readable, Writable } from 'node:stream'

/** The streams and the environment of a command. */
export interface Io {
  /** At a terminal, a command asks for the password; otherwise it reads the first line. */
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable
  stderr: Writable
  /** Reads the environment variables, with those of the file `.env`. */
  env (): Promise<NodeJS.ProcessEnv>
}

/** The command line is wrong. The text says what. */
export class UsageError extends Error {}

/**
 * Checks that no argument is left.
 *
 * @throws UsageError
 */
export function expectEnd ([extra]: readonly string[]): void {
  if (extra !== undefined) throw new UsageError(`unexpected argument: ${extra}`)
}
