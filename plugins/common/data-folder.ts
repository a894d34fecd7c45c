import { accessSync, constants, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Makes a folder for what hatcheck keeps, if it is missing, for its owner alone. Git ignores a folder that was made here: it may
 * be in the project of an application, and has sessions, accounts and keys in it.
 *
 * @throws what the system says if it cannot be written.
 */
export function makeDataFolder (folder: string): void {
  const isNew = makeFolder(folder)
  accessSync(folder, constants.W_OK)
  if (isNew) writeFileSync(join(folder, '.gitignore'), '*\n', { mode: 0o600 })
}

/**
 * Makes a folder and its missing parents, for their owner alone. Node's `recursive` does the same, but never returns below a folder in
 * which none can be made, such as /proc.
 *
 * @returns whether it was missing.
 * @throws what the system says.
 */
export function makeFolder (folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 })
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && !existsSync(dirname(folder))) {
      makeFolder(dirname(folder))
      return makeFolder(folder)
    }
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return false
    throw error
  }
}
