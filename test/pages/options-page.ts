import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { environmentName } from '../../plugins/config/option-name.js'
import { PROCESS_OPTIONS } from '../../plugins/config/process-options.js'
import type { Row } from '../../plugins/config/row.js'
import { OPTIONS } from '../../plugins/config/table.js'
import { checkout } from '../processes/child.js'
import { pageAt } from './pages.js'

// The tables in docs/options.md, rendered from the rows and the JSDoc of plugins/config. Run this file to update them:
// npx tsx test/pages/options-page.ts

const PAGE = 'docs/options.md'
/** Writes "a, b and c". */
const LIST = new Intl.ListFormat('en-GB')
const HEAD = ['option', 'variable', 'values', 'default', 'meaning']

/** The contents of a row's JSDoc. */
interface Text {
  about: string
  default: string
  see: string[]
}

const code = ['table', 'login-options', 'page-options', 'process-options'].map((file) => pageAt(`plugins/config/${file}.ts`)).join('\n')
const texts = new Map([...code.matchAll(/^ {2}\/\*\*\n(.*?)\n {3}\*\/\n {2}(\w+): \{/gms)]
  .map(([, comment = '', option = '']) => [option, textOf(comment)]))

function textOf (comment: string): Text {
  const lines = comment.split('\n').map((line) => line.replace(/^ *\* ?/, ''))
  const tags = (tag: string): string[] => lines.flatMap((line) => line.startsWith(`@${tag} `) ? [line.slice(tag.length + 2)] : [])
  const end = lines.findIndex((line) => line === '' || line.startsWith('@'))
  return { about: lines.slice(0, end).join(' '), default: tags('default')[0] ?? '', see: tags('see') }
}

/** The default as the row has it; the JSDoc can only add to it. */
export function defaultOf (row: Row): string {
  const said = { '': row.default, 'service: ': 'service' in row ? row.service : undefined, 'demo mode: ': 'demo' in row ? row.demo : undefined }
  return Object.entries(said).filter(([, value]) => value !== undefined && value !== '').map(([mode, value]) => `${mode}\`${value}\``).join('; ')
}

function valuesOf (row: Row): string {
  switch (row.type) {
    case 'flag':
      return '`true`, `false`'
    case 'word':
      return row.words.map((word) => `\`${word}\``).join(', ')
    case 'integer':
      return `${row.minimum} to ${row.maximum} ${row.unit ?? ''}`.trim()
    default:
      return row.form
  }
}

/** A link such as "[Writing a store](stores.md#writing-a-store)". */
function linkTo (path: string): string {
  const words = path.replace(/^.*\/|\.md$/g, '').replace(/^.*#/, '').replaceAll('-', ' ')
  return `[${words.charAt(0).toUpperCase()}${words.slice(1)}](${path.replace('docs/', '')})`
}

/** The rows of the table in the code, each with its JSDoc. */
export const rows = [OPTIONS, PROCESS_OPTIONS].flatMap((table) => Object.entries<Row>(table)
  .map(([option, row]) => ({ option, row, isOption: table === OPTIONS && row.only !== 'service', text: texts.get(option) ?? { about: '', default: '', see: [] } })))

/** The page with the rows of the code. Each option stays in the table that has it; a new one goes to the end of the last table. */
export function renderedPage (page = pageAt(PAGE)): string {
  const left = new Map(rows.map((row) => [row.isOption ? row.option : environmentName(row.option), lineOf(cellsOf(row))]))
  const lastTable = page.lastIndexOf(lineOf(HEAD))
  return page.replace(/^\|.*\|$(?:\n\|.*\|$)*/gm, (table, at: number) => {
    const names = [...namesIn(table), ...at === lastTable ? left.keys() : []]
    return [lineOf(HEAD), lineOf(HEAD.map(() => '---')), ...names.flatMap((name) => {
      const line = left.get(name)
      left.delete(name)
      return line ?? []
    })].join('\n')
  })
}

/** The first name in each row of a table. */
function namesIn (table: string): string[] {
  return [...table.matchAll(/^\|[ |]*`(\w+)`/gm)].map(([, name = '']) => name)
}

function cellsOf ({ option, row, isOption, text }: typeof rows[number]): string[] {
  return [
    isOption ? `\`${option}\`` : '',
    row.only === 'plugin' ? '' : `\`${environmentName(option)}\``,
    valuesOf(row),
    text.default,
    [text.about, ...text.see.length > 0 ? [`See ${LIST.format(text.see.map((path) => linkTo(path.replaceAll('`', ''))))}.`] : []].join(' ')
  ]
}

function lineOf (cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`.replaceAll('|  |', '| |')
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) writeFileSync(join(checkout, PAGE), renderedPage())
