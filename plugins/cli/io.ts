import type { Readable, Writable } from 'node:stream'

/** What a command reads and writes. */
export interface Io {
  /** A password is asked for at a terminal, and read from anything else. */
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable
  stderr: Writable
  /** The environment variables, with those of a `.env` file. */
  env (): Promise<NodeJS.ProcessEnv>
}

/** A command line that has no meaning. */
export class UsageError extends Error {}

/** @throws UsageError if an argument is left. */
export function expectEnd ([extra]: readonly string[]): void {
  if (extra !== undefined) throw new UsageError(`unexpected argument: ${extra}`)
}
