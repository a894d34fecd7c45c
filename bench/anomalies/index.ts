import { parseArgs } from 'node:util'
import { checkout } from '../../test/processes/child.js'
import { scope } from '../../test/processes/scope.js'
import { readCommandLine } from '../command-line.js'
import { say } from '../command.js'
import { cases, type CaseName } from './cases/index.js'
import { savePage } from './page.js'
import { peers, type PeerName } from './peers/index.js'
import { runPeer, type Cell } from './run.js'
import { detailsOf, tableOf, versionsOf, type Result } from './table.js'
import { versionOf } from './versions.js'

// Provokes the anomalies of sessions in hatcheck and in its peers, by forced orders of steps. Of one cell it prints the steps;
// docs/anomalies.md says more.

const USAGE = 'npm run anomalies -- [--only "express-session, connect-redis"] [--case revival] [--json] [--save]'
const { only, which, json, save } = readCommandLine(USAGE, () => {
  const { values: { only, case: which, json, save } } = parseArgs({
    options: { only: { type: 'string' }, case: { type: 'string' }, json: { type: 'boolean', default: false }, save: { type: 'boolean', default: false } }
  })
  if (save && (only !== undefined || which !== undefined)) throw new Error('--save is for a whole run, without --only and --case.')
  return { only: nameIn('--only', peers, only), which: nameIn('--case', cases, which), json, save }
})
const wantedPeers = only === undefined ? Object.keys(peers) as PeerName[] : [only]
const wantedCases = which === undefined ? Object.keys(cases) as CaseName[] : [which]
const isOneCell = only !== undefined && which !== undefined

const result: Result = { date: new Date().toISOString().slice(0, 10), node: process.version, versions: {}, cells: [] }
for (const name of wantedPeers) await run(name)
process.stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : `${tableOf(result)}\n${versionsOf(result)}\n`)
if (save && process.exitCode === undefined) savePage(checkout, result)
else if (save) say('nothing is saved: a peer was not run')

async function run (name: PeerName): Promise<void> {
  say(name)
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

function nameIn<Name extends string> (option: string, all: Record<Name, unknown>, wanted: string | undefined): Name | undefined {
  if (wanted === undefined) return undefined
  const names = Object.keys(all) as Name[]
  const found = names.find((name) => name === wanted)
  if (found === undefined) throw new Error(`${option} must be one of these; got "${wanted}".\n${names.map((name) => `  ${name}`).join('\n')}`)
  return found
}
