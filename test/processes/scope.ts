import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** The part of a test that helpers need to start something. */
export type Lifetime = Pick<Test, 'testdir' | 'teardown'>

/** Gives programs outside of tap a folder, and runs their teardown. */
export async function scope<T> (work: (lifetime: Lifetime) => Promise<T>): Promise<T> {
  const endings: Array<() => unknown> = []
  try {
    return await work({
      testdir () {
        const folder = mkdtempSync(join(tmpdir(), 'hatcheck-'))
        endings.push(() => { rmSync(folder, { recursive: true }) })
        return folder
      },
      teardown (ending: () => unknown) { endings.push(ending) }
    } as Lifetime)
  } finally {
    for (const ending of endings.reverse()) await ending()
  }
}
