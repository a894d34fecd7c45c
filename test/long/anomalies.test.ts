import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { cases, type CaseName } from '../../bench/anomalies/cases/index.js'
import { sectionOf } from '../../bench/anomalies/page.js'
import { runPeer } from '../../bench/anomalies/run.js'
import { pageAt } from '../pages/pages.js'
import { checkout } from '../processes/child.js'

// `npm run anomalies` runs every case against every peer. Here hatcheck must hold in each, and a peer that is known to show two
// of the anomalies must show them: a script that sees nothing anywhere would prove nothing.

test('no anomaly of the bench is seen in hatcheck in memory', async (t) => {
  const cells = await runPeer(t, 'hatcheck, memory', Object.keys(cases) as CaseName[], () => {})
  for (const cell of cells) {
    t.strictSame(cell.what, {}, cell.case)
    if (cell.notApplicable === undefined) t.ok(cell.tries > 0, `${cell.case}: ${cell.tries} tries`)
  }
})

test('the scripts see a lost update and a revival where the whole session is written by each request', async (t) => {
  const cells = await runPeer(t, '@fastify/session, memory', ['lost-update', 'revival'], () => {})
  for (const cell of cells) t.equal(cell.seen, cell.tries, cell.case)
})

test('the table of docs/anomalies.md is that of the saved run', async (t) => {
  const seen = JSON.parse(readFileSync(join(checkout, 'bench/anomalies/seen.json'), 'utf8'))
  t.ok(pageAt('docs/anomalies.md').includes(sectionOf(seen)))
})
