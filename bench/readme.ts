import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readCommandLine } from './command-line.js'
import { markdownTable } from './markdown.js'
import { parts } from './profile/parts.js'
import { cellsOf } from './report.js'
import type { Results } from './results.js'
import { isOfProxies } from './rows.js'

// Writes the results of `npm run bench -- --json FILE` into bench/README.md, between two markers: the ratios, or the parts if there are profiles.

const results = readCommandLine('npx tsx bench/readme.ts FILE', (): Results => {
  const { positionals: [file] } = parseArgs({ allowPositionals: true })
  if (file === undefined) throw new Error('FILE is missing.')
  return JSON.parse(readFileSync(file, 'utf8'))
})
const isProfiled = Object.values(results.rows).some((row) => Object.values(row).some(({ microsByPart }) => microsByPart !== null))
if (isProfiled) replace('profile', profileOf(results))
else replace('bench', ratiosOf(results))

/** Replaces what is between two markers. */
function replace (marker: string, replacement: string): void {
  const readme = join(import.meta.dirname, 'README.md')
  const text = readFileSync(readme, 'utf8')
  const [first, last] = [`<!-- ${marker} -->\n`, `<!-- /${marker} -->`]
  const [begin, end] = [text.indexOf(first) + first.length, text.indexOf(last)]
  if (begin < first.length || end < begin) throw new Error(`bench/README.md has no ${first.trim()} and ${last}`)
  writeFileSync(readme, text.slice(0, begin) + replacement + text.slice(end))
}

function ratiosOf ({ contenders, rows, rounds, environment }: Results): string {
  const names = Object.keys(rows)
  const lines = contenders.map((contender) => [contender, ...names.map((row) => rows[row]?.[contender]?.ratio.toFixed(2) ?? '–')])
  return `Ratios by CPU time to bare Fastify; higher is better. Medians of ${rounds} rounds on ${textOf(environment)}.\n\n${markdownTable(['', ...names], lines)}`
}

function profileOf ({ rows, rounds, environment }: Results): string {
  const lines = Object.entries(rows).filter(([row]) => !isOfProxies(row)).flatMap(([row, contenders]) => Object.entries(contenders).flatMap(([name, { cpuMicros, microsByPart }]) => {
    return microsByPart === null ? [] : [[row, name, ...cellsOf(microsByPart, cpuMicros)]]
  }))
  return `CPU time of a request in µs. Means of the middle half of ${rounds} profiles on ${textOf(environment)}.\n\n${markdownTable(['request', 'contender', ...parts, 'other threads'], lines)}`
}

function textOf (environment: Results['environment']): string {
  return Object.entries(environment).map(([name, value]) => `${name} ${value}`).join(', ')
}
