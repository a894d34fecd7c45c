import { mkdirSync, writeFileSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { join } from 'node:path'

/** The folder for CPU profiles, which the developer tools of Chromium show. */
export class ProfileFolder {
  readonly #path: string
  readonly #countOf = new Map<string, number>()

  constructor (path: string) {
    mkdirSync(path, { recursive: true })
    this.#path = path
  }

  /** Writes a file of its own for each profile of the same name. */
  write (name: string, profile: Profiler.Profile): void {
    const count = (this.#countOf.get(name) ?? 0) + 1
    this.#countOf.set(name, count)
    writeFileSync(join(this.#path, `${name.replaceAll('/', '-')}, ${count}.cpuprofile`), JSON.stringify(profile))
  }
}
