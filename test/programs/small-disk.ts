import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, rmdirSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** A disk of a few MiB that a test fills. */
export interface SmallDisk {
  readonly folder: string
  /** Fills all free space. */
  fill (): void
  /** Frees that space. */
  free (): void
}

/** Skips a test where no disk can be mounted, with the reason; fails it if HATCHECK_TEST_ALL requires all tests to run. */
export function needsMounting (): { skip: string | false } {
  if (process.env['HATCHECK_TEST_ALL'] === '1') return { skip: false }
  try {
    unmount(mount(1))
    return { skip: false }
  } catch {
    return { skip: 'needs to mount a small disk, which takes root on Linux' }
  }
}

/** Mounts a small tmpfs for a test, and unmounts it at the end. */
export function mountSmallDisk (t: Test, mebibytes: number): SmallDisk {
  const folder = mount(mebibytes)
  t.teardown(() => { unmount(folder) })
  const ballast = join(folder, 'ballast')
  return {
    folder,
    fill () {
      const file = openSync(ballast, 'a')
      const block = Buffer.alloc(4_096)
      try {
        for (;;) writeSync(file, block)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      } finally {
        closeSync(file)
      }
    },
    free () { rmSync(ballast) }
  }
}

function mount (mebibytes: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'hatcheck-small-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'hatcheck-test', folder], { stdio: 'pipe' })
  } catch (error) {
    rmdirSync(folder)
    throw error
  }
  return folder
}

function unmount (folder: string): void {
  // Lazily, since a process that failed to end keeps it busy.
  execFileSync('umount', ['-l', folder])
  rmdirSync(folder)
}
