import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readCommandLine } from './command-line.js'
import { markdownTable, replaceSection } from './markdown.js'
import { parts } from './profile/parts.js'
import { cellsOf, environmentText } from './report.js'
import type { Results } from './results.js'
import { isOfProxies } from './rows.js'

// Writes the results of `npm run bench -- --json FILE` into bench/README.md, between two markers: the ratios, or the parts if there are profiles.

const results = readCommandLine('npx tsx bench/readme.ts FILE', (): Results => {
  const { positionals: [file] } = parseArgs({ allowPositionals: true })
  if (file === undefined) throw new Error('FILE is missing.')
  return JSON.parse(readFileSync(file, 'utf8'))
})
const isProfiled = Object.values(results.rows).some((row) => Object.values(row).some(({ microsByPart }) => microsByPart !== null))
const readme = join(import.meta.dirname, 'README.md')
if (isProfiled) replaceSection(readme, 'profile', profileOf(results))
else replaceSection(readme, 'bench', ratiosOf(results))

function ratiosOf ({ contenders, rows, rounds, environment }: Results): string {
  const names = Object.keys(rows)
  const lines = contenders.map((contender) => [contender, ...names.map((row) => rows[row]?.[contender]?.ratio.toFixed(2) ?? '–')])
  return `Ratios by CPU time to bare Fastify; higher is better. Medians of ${rounds} rounds on ${environmentText(environment)}.\n\n${markdownTable(['', ...names], lines)}`
}

function profileOf ({ rows, rounds, environment }: Results): string {
  const lines = Object.entries(rows).filter(([row]) => !isOfProxies(row)).flatMap(([row, contenders]) => Object.entries(contenders).flatMap(([name, { cpuMicros, microsByPart }]) => {
    return microsByPart === null ? [] : [[row, name, ...cellsOf(microsByPart, cpuMicros)]]
  }))
  return `CPU time of a request in µs. Means of the middle half of ${rounds} profiles on ${environmentText(environment)}.\n\n${markdownTable(['request', 'contender', ...parts, 'other threads'], lines)}`
}
