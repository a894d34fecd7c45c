import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand, say, type Lifetime } from '../command.js'
import { integer, readCommandLine } from '../command-line.js'
import { compile } from '../compile.js'
import { endProcess } from '../processes.js'
import { lmdbStore, startRedis } from '../stores.js'
import { chart } from './chart.js'
import type { Filled, Findings, Measured } from './findings.js'
import { populationOf } from './population.js'
import type { Message, Task } from './process.js'
import { table } from './table.js'

// What does a call to a store cost as the number of sessions grows, and what holds the event loop? Prints a table for each
// store to standard output; with --out, scale.json and the charts scale-light.svg and scale-dark.svg go to a folder.

const USAGE = 'npm run bench:scale -- [--quick] [--store lmdb|redis] [--sizes 1000,10000] [--out FOLDER]'
const { quick, stores, sizes, out } = readCommandLine(USAGE, () => {
  const { values: { store, sizes, ...others } } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, store: { type: 'string' }, sizes: { type: 'string' }, out: { type: 'string' } }
  })
  const stores = ['LMDB', 'Redis'].filter((title) => store === undefined || title.toLowerCase() === store)
  if (stores.length === 0) throw new Error(`--store must be lmdb or redis; got "${store}".`)
  return { stores, sizes: sizes?.split(',').map((size) => integer('--sizes', size)), ...others }
})
const counts = sizes ?? (quick ? [1_000, 100_000] : [1_000, 10_000, 100_000, 1_000_000])

await runCommand('scale', async (lifetime) => {
  say('compiling')
  const file = await compile(join(lifetime.folder, 'build'), lifetime.signal, 'scale/process.js')
  const found: Record<string, Findings[]> = {}
  for (const title of stores) {
    for (const sessions of counts) {
      const findings = await measureSize(lifetime, file, title, sessions)
      if (findings === null) {
        say('redis-server is not installed: Redis is left out')
        break
      }
      (found[title] ??= []).push(findings)
    }
  }
  for (const [title, findings] of Object.entries(found)) process.stdout.write(`\n${table(title, findings)}\n`)
  if (out !== undefined) {
    mkdirSync(out, { recursive: true })
    writeFileSync(join(out, 'scale.json'), `${JSON.stringify(found, null, 2)}\n`)
    for (const theme of ['light', 'dark'] as const) writeFileSync(join(out, `scale-${theme}.svg`), chart(found, theme))
  }
})

/** Measures one size, in a store of its own. Returns null if redis-server is not installed. */
async function measureSize (lifetime: Lifetime, file: string, title: string, sessions: number): Promise<Findings | null> {
  const own = mkdtempSync(join(lifetime.folder, 'size-'))
  // Redis does not rewrite its file meanwhile.
  const store = title === 'LMDB' ? lmdbStore(own) : await startRedis(own, lifetime.signal, ['--auto-aof-rewrite-percentage', '0'])
  if (store === null) return null
  const { options } = store
  lifetime.teardown(store.close)
  const progress = (text: string): void => { say(`${title}, ${sessions.toLocaleString('en')}: ${text}`) }
  const population = populationOf(sessions, Date.now())
  const emptyBytes = title === 'LMDB' ? 0 : await store.bytes()
  progress('creating')
  const filled = await run<Filled>(lifetime, file, { what: 'fill', options, population }, progress)
  const bytesPerSession = (await store.bytes() - emptyBytes) / sessions
  const measured = await run<Measured>(lifetime, file, { what: 'measure', options, population }, progress)
  await store.close()
  rmSync(own, { recursive: true })
  return { ...population, ...filled, bytesPerSession, ...measured }
}

async function run<T extends Filled | Measured> ({ teardown }: Lifetime, file: string, task: Task, progress: (text: string) => void): Promise<T> {
  const child = fork(file, [JSON.stringify(task)], { execArgv: [] })
  teardown(async () => { await endProcess(child, () => { child.kill('SIGKILL') }) })
  let found: T | undefined
  child.on('message', (message: Message) => {
    if ('progress' in message) progress(message.progress)
    else found = message.found as T
  })
  await once(child, 'exit')
  if (found === undefined) throw new Error(`the process that was to ${task.what} a store has ended`)
  return found
}
