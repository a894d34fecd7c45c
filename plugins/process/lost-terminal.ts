import { closeSync, fstatSync } from 'node:fs'
import { isatty } from 'node:tty'

/**
 * Lets go of a closed terminal at the end of the process. Node restores the modes of each terminal then, and aborts, with a core
 * dump, if it cannot. It passes over a descriptor that is closed.
 */
export function letGoOfLostTerminals (): void {
  process.once('exit', () => {
    for (const fd of [0, 1, 2]) if (isLost(fd)) closeSync(fd)
  })
}

/** A closed terminal is a device that no longer answers as a terminal. /dev/null looks the same, and may be closed as well. */
function isLost (fd: number): boolean {
  try {
    return fstatSync(fd, { bigint: true }).isCharacterDevice() && !isatty(fd)
  } catch {
    return false
  }
}
