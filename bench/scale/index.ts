import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { compile } from '../compile.js'
import { lmdbPlace, redisPlace, type Place } from '../places.js'
import { chart } from './chart.js'
import type { Filled, Findings, Measured } from './findings.js'
import { populationOf } from './population.js'
import type { Task, Told } from './process.js'
import { table } from './table.js'
import { endWhenInterrupted } from '../interrupt.js'
import { orUsage, positiveNumber } from '../usage.js'

// What does a call to a store cost as the number of sessions grows, and what holds the event loop? Prints a table for each
// store to standard output; with --out, scale.json and the charts scale-light.svg and scale-dark.svg go to a folder.

const USAGE = 'npm run bench:scale -- [--quick] [--store lmdb|redis] [--sizes 1000,10000] [--out FOLDER]'
const { quick, stores, sizes, out } = orUsage(USAGE, () => {
  const { values: { store, sizes, ...others } } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, store: { type: 'string' }, sizes: { type: 'string' }, out: { type: 'string' } }
  })
  const stores = ['LMDB', 'Redis'].filter((title) => store === undefined || title.toLowerCase() === store)
  if (stores.length === 0) throw new Error(`--store must be lmdb or redis; got "${store}".`)
  return { stores, sizes: sizes?.split(',').map((size) => positiveNumber('--sizes', size)), ...others }
})
const counts = sizes ?? (quick ? [1_000, 100_000] : [1_000, 10_000, 100_000, 1_000_000])

const folder = mkdtempSync(join(tmpdir(), 'hatcheck-scale-'))
const children = new Set<ChildProcess>()
const places = new Set<Place>()
const interrupt = endWhenInterrupted(cleanUp)

try {
  say('compiling')
  const file = await compile(join(folder, 'build'), interrupt.signal, 'scale/process.js')
  const found: Record<string, Findings[]> = {}
  for (const title of stores) {
    for (const sessions of counts) {
      const findings = await measureSize(file, title, sessions)
      if (findings !== null) (found[title] ??= []).push(findings)
    }
  }
  for (const [title, findings] of Object.entries(found)) process.stdout.write(`\n${table(title, findings)}\n`)
  if (out !== undefined) {
    mkdirSync(out, { recursive: true })
    writeFileSync(join(out, 'scale.json'), `${JSON.stringify(found, null, 2)}\n`)
    for (const theme of ['light', 'dark'] as const) writeFileSync(join(out, `scale-${theme}.svg`), chart(found, theme))
  }
} catch (error) {
  if (!interrupt.signal.aborted) say(`scale: ${(error as Error).message}`)
  process.exitCode = 1
} finally {
  await cleanUp()
}

/** Each size has a store of its own. Returns null if redis-server is not installed. */
async function measureSize (file: string, title: string, sessions: number): Promise<Findings | null> {
  const own = mkdtempSync(join(folder, 'size-'))
  const place = title === 'LMDB' ? lmdbPlace(own) : await redisPlace(own, interrupt.signal, ['--auto-aof-rewrite-percentage', '0'])
  if (place === null) {
    say('redis-server is not installed: only LMDB is measured')
    return null
  }
  places.add(place)
  const progress = (text: string): void => { say(`${title}, ${sessions.toLocaleString('en')}: ${text}`) }
  const population = populationOf(sessions, Date.now())
  const emptyBytes = title === 'LMDB' ? 0 : await place.bytes()
  progress('creating')
  const filled = await run<Filled>(file, { what: 'fill', options: place.options, population }, progress)
  const bytesPerSession = (await place.bytes() - emptyBytes) / sessions
  const measured = await run<Measured>(file, { what: 'measure', options: place.options, population }, progress)
  await place.close()
  places.delete(place)
  rmSync(own, { recursive: true })
  return { ...population, ...filled, bytesPerSession, ...measured }
}

async function run<T extends Filled | Measured> (file: string, task: Task, progress: (text: string) => void): Promise<T> {
  const child = fork(file, [JSON.stringify(task)], { execArgv: [] })
  children.add(child)
  let found: T | undefined
  child.on('message', (told: Told) => {
    if ('progress' in told) progress(told.progress)
    else found = told.found as T
  })
  await once(child, 'exit')
  children.delete(child)
  if (found === undefined) throw new Error(`the process that was to ${task.what} a store has ended`)
  return found
}

async function cleanUp (): Promise<void> {
  await Promise.all([...children].map(async (child) => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }))
  await Promise.all([...places].map((place) => place.close()))
  rmSync(folder, { recursive: true, force: true })
}

function say (text: string): void {
  process.stderr.write(`${text}\n`)
}
