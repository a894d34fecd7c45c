import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { compiledFixture } from './fixtures/child.js'

/** Calls a method of the store in the other process, and answers what it answers. */
export type StoreCall = (method: string, ...args: unknown[]) => Promise<unknown>

/** Another process that has the store open. It makes its calls one after another, and ends with the test. */
export function startStoreProcess (t: Test, url: string): StoreCall {
  const child = spawn(process.execPath, [compiledFixture('store-child'), url],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } })
  const waiting: Array<(answer: unknown) => void> = []
  createInterface({ input: child.stdout }).on('line', (line) => { waiting.shift()?.(JSON.parse(line)) })
  t.teardown(async () => {
    const end = once(child, 'exit')
    child.stdin.end()
    await end
  })
  return (...call) => new Promise((resolve) => {
    waiting.push(resolve)
    child.stdin.write(`${JSON.stringify(call)}\n`)
  })
}
