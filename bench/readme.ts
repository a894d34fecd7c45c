import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readCommandLine } from './command-line.js'
import type { Results } from './results.js'

// Writes the ratios of `npm run bench -- --json FILE` into bench/README.md, between its two markers.

const BEGIN = '<!-- bench -->\n'
const END = '<!-- /bench -->'

const results = readCommandLine('npx tsx bench/readme.ts FILE', (): Results => {
  const { positionals: [file] } = parseArgs({ allowPositionals: true })
  if (file === undefined) throw new Error('FILE is missing.')
  return JSON.parse(readFileSync(file, 'utf8'))
})
const readme = join(import.meta.dirname, 'README.md')
const text = readFileSync(readme, 'utf8')
const [begin, end] = [text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)]
if (begin < BEGIN.length || end < begin) throw new Error(`bench/README.md has no ${BEGIN.trim()} and ${END}`)
writeFileSync(readme, text.slice(0, begin) + tableOf(results) + text.slice(end))

function tableOf ({ contenders, rows, rounds, environment }: Results): string {
  const names = Object.keys(rows)
  const lines = contenders.map((contender) => [contender, ...names.map((row) => rows[row]?.[contender]?.ratio.toFixed(2) ?? '–')])
  const what = Object.entries(environment).map(([name, value]) => `${name} ${value}`).join(', ')
  const table = [['', ...names], ['---', ...names.map(() => '---')], ...lines].map((cells) => `| ${cells.join(' | ')} |\n`.replace('|  |', '| |')).join('')
  return `Ratios by CPU time to bare Fastify; higher is better. Medians of ${rounds} rounds on ${what}.\n\n${table}`
}
