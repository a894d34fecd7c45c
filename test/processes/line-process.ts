import type { ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Lifetime } from './scope.js'

/**
 * Makes a function that asks a process: each line of its input is a question, each line of its output the answer, both in JSON. It
 * answers one after another, and ends with the test.
 *
 * @param name names the process in the error if it ends during a question
 */
export function askByLines (t: Lifetime, child: ChildProcessByStdio<Writable, Readable, null>, name: string): (...question: unknown[]) => Promise<any> {
  const waiting: Array<{ resolve (answer: unknown): void, reject (error: Error): void }> = []
  createInterface({ input: child.stdout }).on('line', (line) => { waiting.shift()?.resolve(JSON.parse(line)) })
  const ended = once(child, 'close')
  child.once('close', (code) => { for (const { reject } of waiting) reject(new Error(`${name} ended with ${code} during a question`)) })
  t.teardown(async () => {
    child.stdin.end()
    await ended
  })
  return (...question) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject })
    child.stdin.write(`${JSON.stringify(question)}\n`)
  })
}
