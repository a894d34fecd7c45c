import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a command has for as long as it runs. */
export interface Lifetime {
  /** A temporary folder. */
  readonly folder: string
  /** Is aborted when the command fails or is interrupted, before the teardown. */
  readonly signal: AbortSignal
  /** Calls a function at the end: the last that was added is the first that is called. */
  teardown (ending: () => Promise<void> | void): void
}

/** Runs a command. It leaves nothing behind, also when it fails or somebody interrupts it. An error is one message. */
export async function runCommand (name: string, work: (lifetime: Lifetime) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), `hatcheck-${name}-`))
  const endings: Array<() => Promise<void> | void> = [() => { rmSync(folder, { recursive: true, force: true }) }]
  let ended: Promise<void> | undefined
  const end = async (): Promise<void> => { await (ended ??= callInTurn(endings.reverse())) }
  const abort = new AbortController()
  const { signal } = abort
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    // Not once: under the command tsx, which passes signals on, the second of a Ctrl-C would end this process at once.
    process.on(name, () => {
      abort.abort()
      end().finally(() => { process.exit(128 + constants.signals[name]) })
    })
  }
  try {
    await work({ folder, signal, teardown (ending) { endings.push(ending) } })
  } catch (error) {
    // What fails after an interruption fails because of it.
    if (!signal.aborted) say(`${name}: ${(error as Error).message}`)
    abort.abort()
    process.exitCode = 1
  } finally {
    await end()
  }
}

async function callInTurn (endings: ReadonlyArray<() => Promise<void> | void>): Promise<void> {
  for (const ending of endings) await ending()
}

/** Tells the user what happens, apart from the results on standard output. */
export function say (text: string): void {
  process.stderr.write(`${text}\n`)
}
