import { parseArgs } from 'node:util'
import { checkout } from '../../test/fixtures/child.js'
import { scope } from '../../test/scope.js'
import { cases, type CaseName } from './cases/index.js'
import { savePage } from './page.js'
import { peers, type PeerName } from './peers/index.js'
import { runPeer, type Cell } from './run.js'
import { detailsOf, tableOf, versionsOf, type Result } from './table.js'
import { versionOf } from './versions.js'
import { orUsage } from '../usage.js'

// Provokes the anomalies of sessions, by forced orders of steps, in hatcheck and in its peers. One cell prints its steps; docs/anomalies.md
// says more.

const USAGE = 'npm run anomalies -- [--only "express-session, connect-redis"] [--case revival] [--json] [--save]'
const { values: { only, case: which, json, save } } = orUsage(USAGE, () => parseArgs({
  options: { only: { type: 'string' }, case: { type: 'string' }, json: { type: 'boolean', default: false }, save: { type: 'boolean', default: false } }
}))
const wantedPeers = namesOf<PeerName>('--only', peers, only)
const wantedCases = namesOf<CaseName>('--case', cases, which)
const isOneCell = only !== undefined && which !== undefined

const result: Result = { date: new Date().toISOString().slice(0, 10), node: process.version, versions: {}, cells: [] }
for (const name of wantedPeers) await run(name)
process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : `${tableOf(result)}\n${versionsOf(result)}\n`)
// The table of the page is that of one whole run.
if (save && process.exitCode === undefined && only === undefined && which === undefined) savePage(checkout, result)

async function run (name: PeerName): Promise<void> {
  say(`${name}`)
  try {
    const cells = await scope<Cell[]>(async (lifetime) => await runPeer(lifetime, name, wantedCases, isOneCell ? say : () => {}))
    result.cells.push(...cells)
    for (const each of peers[name].packages) result.versions[each] ??= versionOf(each)
    if (!isOneCell) process.stderr.write(detailsOf({ cells }, name))
  } catch (error) {
    say(`${name} was not run: ${(error as Error).message}`)
    process.exitCode = 1
  }
}

function namesOf<Name extends string> (option: string, all: Record<Name, unknown>, wanted: string | undefined): Name[] {
  const names = Object.keys(all) as Name[]
  if (wanted === undefined) return names
  const chosen = names.filter((name) => name === wanted)
  if (chosen.length > 0) return chosen
  process.stderr.write(`${option} must be one of:\n${names.map((name) => `  ${name}\n`).join('')}`)
  process.exit(2)
}

function say (step: string): void {
  process.stderr.write(`${step}\n`)
}
