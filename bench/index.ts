import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Child } from './child.js'
import { compile } from './compile.js'
import { contenderNames } from './contenders.js'
import { measure } from './measure.js'
import { headline, report, type Round } from './report.js'
import { states, verify, visitorsOf, type Visitors } from './visitors.js'

// npm run bench [-- --quick]

// Many short rounds rather than few long ones: what disturbs a round then disturbs every contender in it, or is outvoted.
// Several generations of processes: the same code in another process, elsewhere in memory and compiled at another moment,
// can be a tenth faster or slower for as long as it lives.
const { values: { quick } } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const plan = quick
  ? { generations: 3, warmUpSeconds: 0.8, rounds: 6, seconds: 0.35 }
  : { generations: 8, warmUpSeconds: 3, rounds: 12, seconds: 0.6 }

const folder = mkdtempSync(join(tmpdir(), 'hatcheck-bench-'))
const children: Child[] = []
const interrupt = new AbortController()

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupt.abort()
    cleanUp().finally(() => { process.exit(128 + constants.signals[signal]) })
  })
}

try {
  await bench()
} catch (error) {
  if (!interrupt.signal.aborted) say(`bench: ${(error as Error).message}`)
  process.exitCode = 1
} finally {
  await cleanUp()
}

async function bench (): Promise<void> {
  say('compiling')
  const file = await compile(join(folder, 'build'), interrupt.signal)

  const rounds: Round[] = []
  for (let i = 0; i < plan.generations; i++) {
    say(`generation ${i + 1} of ${plan.generations}: starting, verifying and warming up the contenders`)
    await generation(file, i, rounds)
  }
  process.stdout.write(`\n${report(rounds)}\n`)
}

/** Measures every contender in a process of its own that has just been started. */
async function generation (file: string, number: number, rounds: Round[]): Promise<void> {
  const visitors = new Map<Child, Visitors>()
  for (const [index, name] of contenderNames.entries()) {
    const child = new Child(file, name, join(folder, `data-${number}-${index}`))
    children.push(child)
    await child.start()
    visitors.set(child, await visitorsOf(child))
  }
  await verify(visitors)

  await round([...visitors], plan.warmUpSeconds)
  for (let i = 0; i < plan.rounds; i++) {
    const shift = i % visitors.size
    rounds.push(await round([...[...visitors].slice(shift), ...[...visitors].slice(0, shift)], plan.seconds))
    say(`round ${i + 1} of ${plan.rounds}: hatcheck ${headline(rounds.slice(-1), 'hatcheck, LMDB')}`)
  }
  await verify(visitors)
  await stopAll()
}

async function round (contenders: Array<[Child, Visitors]>, seconds: number): Promise<Round> {
  const result = Object.fromEntries(states.map((state) => [state, {}])) as Round
  for (const state of states) {
    for (const [child, visitors] of contenders) result[state][child.name] = await measure(child, visitors[state], seconds)
  }
  return result
}

async function stopAll (): Promise<void> {
  await Promise.all(children.splice(0).map((child) => child.stop()))
}

async function cleanUp (): Promise<void> {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
}

function say (text: string): void {
  process.stderr.write(`${text}\n`)
}
