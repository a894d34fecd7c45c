import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/**
 * A folder for a test that writes often and does not depend on the disk: in memory where the system has a place for that.
 * It is removed with the test.
 */
export function fastFolder (t: Test): string {
  const folder = mkdtempSync(join(isWritable('/dev/shm') ? '/dev/shm' : tmpdir(), 'hatcheck-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

function isWritable (folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}
