import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { compiledFixture } from './fixtures/child.js'

/** Calls a method of the store in the other process, and returns its result. */
export type StoreCall = (method: string, ...args: unknown[]) => Promise<unknown>

/** Another process with the store open. It makes its calls one after another, and ends with the test. */
export function startStoreProcess (t: Test, url: string): StoreCall {
  const child = spawn(process.execPath, [compiledFixture('store-child'), url],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } })
  const waiting: Array<{ resolve (answer: unknown): void, reject (error: Error): void }> = []
  createInterface({ input: child.stdout }).on('line', (line) => { waiting.shift()?.resolve(JSON.parse(line)) })
  const ended = once(child, 'close')
  child.once('close', (code) => { for (const { reject } of waiting) reject(new Error(`the other process ended with ${code} during a call`)) })
  t.teardown(async () => {
    child.stdin.end()
    await ended
  })
  return (...call) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject })
    child.stdin.write(`${JSON.stringify(call)}\n`)
  })
}
