import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { compiledFixture } from './child.js'

export interface ReplacingProcess {
  /** The last acknowledged call of each kind. */
  readonly last: { patched: number, replaced: number }
  /** Resolves when the process has printed this. */
  said (line: RegExp): Promise<void>
  /** Kills the process at once, and waits for the rest of its output. */
  kill (): Promise<void>
}

/** Starts a process that replaces a session repeatedly: test/fixtures/replacing-child.ts. It ends with the test. */
export function startReplacingProcess (t: Test, url: string, first: number | 'half'): ReplacingProcess {
  const child = spawn(process.execPath, [compiledFixture('replacing-child'), url, String(first)],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } })
  const last = { patched: -1, replaced: Number(first) }
  const waiting = new Map<RegExp, () => void>()
  const ended = once(child, 'close')
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [what, i] = line.split(' ')
    if (what === 'patched' || what === 'replaced') last[what] = Number(i)
    for (const [expected, resolve] of waiting) if (expected.test(line)) resolve()
  })
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  t.teardown(kill)
  return { last, kill, said: (line) => new Promise((resolve) => { waiting.set(line, resolve) }) }
}
