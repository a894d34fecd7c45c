import { accessSync, constants, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Makes the data folder if it is missing, with access for its owner only. A new folder gets a `.gitignore`, since it may be in
 * the project of an application and contains sessions, accounts and keys.
 *
 * @throws the error of the system if the folder cannot be written.
 */
export function makeDataFolder (folder: string): void {
  const isNew = makeFolder(folder)
  accessSync(folder, constants.W_OK)
  if (isNew) writeFileSync(join(folder, '.gitignore'), '*\n', { mode: 0o600 })
}

/**
 * Makes a folder and its missing parents, with access for their owner only. `recursive` of Node never returns below a folder
 * that takes no folders, such as /proc.
 *
 * @returns whether the folder was missing.
 * @throws the error of the system.
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
