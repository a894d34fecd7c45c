import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chart } from './chart.js'
import { assertAlike, check, type Pages } from './check.js'
import { runCommand, say } from './command.js'
import { readCommandLine } from './command-line.js'
import { compile } from './compile.js'
import type { Contender } from './contenders/contender.js'
import { allContenders, obstacleTo, OTHER_VARIABLE, reference } from './contenders/index.js'
import { keepOnCore } from './cores.js'
import { environmentOf } from './environment.js'
import { optionsOf } from './options.js'
import { report } from './report.js'
import { resultsOf, type Round } from './results.js'
import { rows, type Row } from './rows.js'
import { RunningContender } from './running-contender.js'

// bench/README.md says what it measures, and how.

const USAGE = 'npm run bench -- [--quick] [--only NAMES] [--requests NAMES] [--other FOLDER] [--generations N] [--rounds N] [--ms N] [--json FILE] [--svg FILE] [--profile FOLDER]'
const { plan, isWanted, isRowWanted, json, svg, profile, other } = readCommandLine(USAGE, () => optionsOf(process.argv.slice(2)))
if (other !== undefined) process.env[OTHER_VARIABLE] = other

await runCommand('bench', async ({ folder, signal, teardown }) => {
  const contenders = allContenders().filter((contender) => contender.name === reference || isWanted(contender.name)).filter(isPossible)
  const running: RunningContender[] = []
  teardown(async () => { await stop(running) })
  say('compiling')
  const file = await compile(join(folder, 'build'), signal)
  const rounds: Round[] = []
  for (let i = 0; i < plan.generations; i++) {
    say(`generation ${i + 1} of ${plan.generations}: starting, verifying and warming up ${contenders.length} contenders`)
    await keepOnCore('any', process.pid)
    running.push(...contenders.map((contender) => new RunningContender(contender)))
    await someAtOnce(running, 2, async (one, index) => { await one.start(file, join(folder, `data-${i}-${index}`), signal, profile) })
    rounds.push(...await measureGeneration(running))
    await stop(running)
  }
  const results = resultsOf(rounds, contenders.map(({ name }) => name), environmentOf(contenders))
  process.stdout.write(`\n${report(results)}\n`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`)
  if (svg !== undefined) writeFileSync(svg, chart(results))
})

function isPossible (contender: Contender): boolean {
  const obstacle = obstacleTo(contender)
  if (obstacle !== undefined) say(`left out: ${contender.name} (${obstacle})`)
  return obstacle === undefined
}

/** Measures contenders that have just been started, each in a process of its own. */
async function measureGeneration (running: readonly RunningContender[]): Promise<Round[]> {
  if (!await keepOnCore('load', process.pid)) say('the load generator and the servers share their cores: there is no taskset here, or only one core')
  await verify(running)
  await someAtOnce(running, 4, async (one) => { await one.logVisitorsIn() })
  const wanted = rows.filter(({ name }) => isRowWanted(name))
  for (const row of wanted) for (const one of running) await one.warmUp(row, plan.warmUpRequests)
  const rounds: Round[] = []
  for (let i = 0; i < plan.rounds; i++) {
    const shift = i % running.length
    rounds.push(await measureRound(wanted, [...running.slice(shift), ...running.slice(0, shift)]))
    say(`round ${i + 1} of ${plan.rounds}`)
  }
  await verify(running)
  return rounds
}

/** More at once would only wait for the processor, some of them in vain. */
async function someAtOnce<T> (items: readonly T[], count: number, work: (item: T, index: number) => Promise<void>): Promise<void> {
  const rest = items.entries()
  await Promise.all(Array.from({ length: count }, async () => {
    for (const [index, item] of rest) await work(item, index)
  }))
}

async function verify (running: readonly RunningContender[]): Promise<void> {
  const pages = new Map<Contender, Pages>()
  for (const { contender, child } of running) pages.set(contender, await check(contender, child.url))
  assertAlike(pages)
}

async function measureRound (wanted: readonly Row[], running: readonly RunningContender[]): Promise<Round> {
  const round: Round = {}
  for (const row of wanted) {
    const samples = round[row.name] ??= {}
    for (const one of running) {
      const sample = await one.measure(row, plan.ms)
      if (sample !== null) samples[one.contender.name] = sample
    }
  }
  return round
}

async function stop (running: RunningContender[]): Promise<void> {
  await Promise.all(running.splice(0).map((one) => one.stop()))
}
