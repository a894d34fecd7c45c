import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assertAlike, check } from './check.js'
import { chart } from './chart.js'
import { compile } from './compile.js'
import { environmentOf } from './environment.js'
import { allContenders, obstacleTo, OTHER_VARIABLE, reference } from './contenders/index.js'
import type { Contender } from './contenders/contender.js'
import { Contestant } from './contestant.js'
import { keepOnCore } from './cores.js'
import { optionsOf } from './options.js'
import { report } from './report.js'
import { resultsOf, type Round } from './results.js'
import { rows } from './rows.js'
import { endWhenInterrupted } from './interrupt.js'
import { orUsage } from './usage.js'

// bench/README.md says what it measures, and how.

const USAGE = 'npm run bench -- [--quick] [--only NAMES] [--requests NAMES] [--other FOLDER] [--generations N] [--rounds N] [--ms N] [--json FILE] [--svg FILE] [--profile FOLDER]'
const { plan, isWanted, isRowWanted, json, svg, profile, other } = orUsage(USAGE, () => optionsOf(process.argv.slice(2)))
if (other !== undefined) process.env[OTHER_VARIABLE] = other

const folder = mkdtempSync(join(tmpdir(), 'hatcheck-bench-'))
const running: Contestant[] = []
const interrupt = endWhenInterrupted(cleanUp)

try {
  await bench()
} catch (error) {
  if (!interrupt.signal.aborted) say(`bench: ${(error as Error).message}`)
  interrupt.abort()
  process.exitCode = 1
} finally {
  await cleanUp()
}

async function bench (): Promise<void> {
  const contenders = allContenders().filter((contender) => contender.name === reference || isWanted(contender.name)).filter(isPossible)
  say('compiling')
  const file = await compile(join(folder, 'build'), interrupt.signal)
  const rounds: Round[] = []
  for (let i = 0; i < plan.generations; i++) {
    say(`generation ${i + 1} of ${plan.generations}: starting, verifying and warming up ${contenders.length} contenders`)
    await generation(file, i, contenders, rounds)
  }
  const results = resultsOf(rounds, contenders.map(({ name }) => name), environmentOf(contenders))
  process.stdout.write(`\n${report(results)}\n`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`)
  if (svg !== undefined) writeFileSync(svg, chart(results))
}

function isPossible (contender: Contender): boolean {
  const obstacle = obstacleTo(contender)
  if (obstacle !== undefined) say(`left out: ${contender.name} (${obstacle})`)
  return obstacle === undefined
}

/** Measures every contender in a process of its own that has just been started. */
async function generation (file: string, number: number, contenders: readonly Contender[], rounds: Round[]): Promise<void> {
  await keepOnCore('any', process.pid)
  running.push(...contenders.map((contender) => new Contestant(contender)))
  await someAtOnce(running, 2, async (one, index) => { await one.start(file, join(folder, `data-${number}-${index}`), interrupt.signal, profile) })
  if (!await keepOnCore('load', process.pid)) say('the load generator and the servers share their cores: there is no taskset here, or only one core')
  await verify()
  await someAtOnce(running, 4, async (one) => { await one.logVisitorsIn() })

  for (const row of rows.filter(({ name }) => isRowWanted(name))) for (const contestant of running) await contestant.warmUp(row, plan.warmUpRequests)
  for (let i = 0; i < plan.rounds; i++) {
    const shift = i % running.length
    rounds.push(await round([...running.slice(shift), ...running.slice(0, shift)]))
    say(`round ${i + 1} of ${plan.rounds}`)
  }
  await verify()
  await stopAll()
}

/** More at once would only wait for the processor, some of them in vain. */
async function someAtOnce<T> (items: readonly T[], count: number, work: (item: T, index: number) => Promise<void>): Promise<void> {
  const rest = items.entries()
  await Promise.all(Array.from({ length: count }, async () => {
    for (const [index, item] of rest) await work(item, index)
  }))
}

async function verify (): Promise<void> {
  const pages = new Map<Contender, Awaited<ReturnType<typeof check>>>()
  for (const { contender, child } of running) pages.set(contender, await check(contender, child.url))
  assertAlike(pages)
}

async function round (contestants: readonly Contestant[]): Promise<Round> {
  const result: Round = {}
  for (const row of rows) {
    if (!isRowWanted(row.name)) continue
    const samples = result[row.name] ??= {}
    for (const contestant of contestants) {
      const sample = await contestant.measure(row, plan.ms)
      if (sample !== null) samples[contestant.contender.name] = sample
    }
  }
  return result
}

async function stopAll (): Promise<void> {
  await Promise.all(running.splice(0).map((one) => one.stop()))
}

async function cleanUp (): Promise<void> {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
}

function say (text: string): void {
  process.stderr.write(`${text}\n`)
}
