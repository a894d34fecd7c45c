import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Makes a folder for what hatcheck keeps, if it is missing, for its owner alone. Git ignores a folder that was made here: it may
 * be in the project of an application, and has sessions, accounts and keys in it.
 *
 * @throws what the system says if it cannot be written.
 */
export function makeDataFolder (folder: string): void {
  const isNew = mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined
  accessSync(folder, constants.W_OK)
  if (isNew) writeFileSync(join(folder, '.gitignore'), '*\n', { mode: 0o600 })
}
