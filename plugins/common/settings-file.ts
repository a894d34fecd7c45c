import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { ConfigError } from './rule.js'

/** More than any file of settings needs: 1 MiB. */
const MOST_BYTES = 1_024 * 1_024

/**
 * Reads a file of settings, such as secret keys. Reads regular files only: the process would wait forever for a FIFO, and some
 * devices never end.
 *
 * @param name the option or variable that names the file.
 * @throws ConfigError if the file cannot be read.
 */
export function readSettingsFile (name: string, file: string): string {
  try {
    return textOf(file)
  } catch (error) {
    throw new ConfigError(`${name} cannot be read: ${(error as Error).message}.`)
  }
}

function textOf (file: string): string {
  // Without O_NONBLOCK, the system would wait for a writer of a FIFO.
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile() || stats.size > MOST_BYTES) throw new Error(`${file} is not a regular file of at most 1 MiB`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}
