import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** What helpers that start something need of a test. */
export type Lifetime = Pick<Test, 'testdir' | 'teardown'>

/** Gives programs outside of tap folders and a place for what must end with them. */
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
