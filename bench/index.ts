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
import { measureTurn } from './measure-turn.js'
import { optionsOf } from './options.js'
import { CONNECTIONS, VISITORS } from './population.js'
import { ProfileFolder } from './profile/folder.js'
import { report } from './report.js'
import { resultsOf, type Round } from './results.js'
import { rows, type Row } from './rows.js'
import { RunningContender } from './running-contender.js'

// bench/README.md says what it measures, and how.

const USAGE = 'npm run bench -- [--quick] [--only NAMES] [--requests NAMES] [--other FOLDER] [--generations N] [--rounds N] [--ms N] [--json FILE] [--svg FILE] [--profile FOLDER]'

/** How often the first row is warmed up. */
const FIRST_WARM_UPS = 3

const { plan, isWanted, isRowWanted, json, svg, profile, other } = readCommandLine(USAGE, () => optionsOf(process.argv.slice(2)))
if (other !== undefined) process.env[OTHER_VARIABLE] = other

await runCommand('bench', async ({ folder, signal, teardown }) => {
  const contenders = allContenders().filter((contender) => contender.name === reference || isWanted(contender.name)).filter(isPossible)
  const running: RunningContender[] = []
  teardown(async () => { await stop(running) })
  say('compiling')
  const file = await compile(join(folder, 'build'), signal)
  const profiles = profile === undefined ? undefined : new ProfileFolder(profile)
  const rounds: Round[] = []
  for (let i = 0; i < plan.generations; i++) {
    say(`generation ${i + 1} of ${plan.generations}: starting, verifying and warming up ${contenders.length} contenders`)
    await keepOnCore('any', process.pid)
    running.push(...contenders.map((contender) => new RunningContender(contender, profiles)))
    await someAtOnce(running, 2, async (one, index) => { await one.start(file, join(folder, `data-${i}-${index}`), signal) })
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
  const wanted = rows.filter(({ name }) => isRowWanted(name))
  const visitors = wanted.some(({ senders }) => senders === 'proxy') ? VISITORS : CONNECTIONS
  await someAtOnce(running, 4, async (one) => { await one.logVisitorsIn(visitors) })
  const rounds: Round[] = Array.from({ length: plan.rounds }, () => ({}))
  const groups = inGroups(wanted)
  for (const together of groups) {
    // V8 compiles first what all rows need.
    const times = together === groups[0] ? FIRST_WARM_UPS : 1
    for (const row of together) for (const one of running) for (let i = 0; i < times; i++) await one.warmUp(row, plan.warmUp)
    for (const [i, round] of rounds.entries()) {
      const shift = i % running.length
      Object.assign(round, await measureTurn(together, [...running.slice(shift), ...running.slice(0, shift)], plan.ms))
      say(`${together.map(({ name }) => `"${name}"`).join(' and ')}: round ${i + 1} of ${plan.rounds}`)
    }
  }
  await verify(running)
  return rounds
}

/** Returns the rows in groups that take turns: a logout needs a login before it. Any other row is alone, so that its code stays warm. */
function inGroups (wanted: readonly Row[]): Row[][] {
  const groups: Row[][] = []
  for (const row of wanted) {
    if (row.senders === 'leavers') groups.at(-1)?.push(row)
    else groups.push([row])
  }
  return groups
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

async function stop (running: RunningContender[]): Promise<void> {
  await Promise.all(running.splice(0).map((one) => one.stop()))
}
