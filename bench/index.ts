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
const { values: { quick } } = parseArgs({ options: { quick: { type: 'boolean', default: false } } })
const plan = quick
  ? { warmUpSeconds: 1, rounds: 21, seconds: 0.4 }
  : { warmUpSeconds: 3, rounds: 75, seconds: 0.8 }

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

  say('starting and verifying the contenders')
  const visitors = new Map<Child, Visitors>()
  for (const [index, name] of contenderNames.entries()) {
    const child = new Child(file, name, join(folder, `data-${index}`))
    children.push(child)
    await child.start()
    visitors.set(child, await visitorsOf(child))
  }
  await verify(visitors)

  say('warming up')
  await round([...visitors], plan.warmUpSeconds)

  const rounds: Round[] = []
  for (let i = 0; i < plan.rounds; i++) {
    const shift = i % visitors.size
    rounds.push(await round([...[...visitors].slice(shift), ...[...visitors].slice(0, shift)], plan.seconds))
    say(`round ${i + 1} of ${plan.rounds}: hatcheck ${headline(rounds.slice(-1), 'hatcheck, LMDB')}`)
  }
  await verify(visitors)
  process.stdout.write(`\n${report(rounds)}\n`)
}

async function round (contenders: Array<[Child, Visitors]>, seconds: number): Promise<Round> {
  const result = Object.fromEntries(states.map((state) => [state, {}])) as Round
  for (const state of states) {
    for (const [child, visitors] of contenders) result[state][child.name] = await measure(child, visitors[state], seconds)
  }
  return result
}

async function cleanUp (): Promise<void> {
  await Promise.all(children.map((child) => child.stop()))
  rmSync(folder, { recursive: true, force: true })
}

function say (text: string): void {
  process.stderr.write(`${text}\n`)
}
