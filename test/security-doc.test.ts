import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { t } from 'tap'
import ts from 'typescript'
import { resolveConfig } from '../plugins/config/resolve.js'
import { testKey } from './helper.js'
import { guides, pageAt, pagesUnder } from './pages/pages.js'
import { checkout } from './processes/child.js'

/** SECURITY.md and the pages that it links to. */
const text = ['SECURITY.md', ...pagesUnder('docs/security')].map(pageAt).join('\n')

/** The number of requirements in each section of these chapters of ASVS 5.0. */
const ASVS: Record<string, number[]> = {
  3: [1, 3, 5, 8, 8, 1, 5],
  6: [3, 12, 8, 6, 8, 4, 2, 4],
  7: [3, 4, 2, 5, 3, 2],
  13: [4, 6, 4, 7],
  14: [2, 8, 3],
  16: [1, 5, 4, 3, 4]
}

/** `test/name.test.ts › title`: an ellipsis stands for each variable part of a title. */
const REFERENCE = /`(test\/[\w/-]+\.test\.ts) › ([^`]+)`/g

/** The README shows only the title, which links to the file. */
const LINKED = /\| \[(?<title>[^\]]+)\]\((?<file>test\/[\w/-]+\.test\.ts)\) \|$/gm

interface Row {
  cells: string[]
}

t.test('every test that the documentation names exists under exactly that name', (t) => {
  t.ok([...text.matchAll(REFERENCE)].length > 100)
  const named = ['SECURITY.md', ...guides].map(pageAt).join('\n')
  const references = [...named.matchAll(REFERENCE)].map(([, file = '', title = '']) => ({ file, title }))
  t.ok(references.length > 100, `${references.length} of them`)
  const linked = [...pageAt('README.md').matchAll(LINKED)].map(({ groups: { file = '', title = '' } = {} }) => ({ file, title }))
  t.ok(linked.length > 10, `${linked.length} in the README`)
  const titles = new Map<string, Set<string>>()
  const missing = new Set<string>()
  for (const { file, title } of [...references, ...linked]) {
    if (!titles.has(file)) titles.set(file, titlesOf(file))
    if (titles.get(file)?.has(title) !== true) missing.add(`${file} › ${title}`)
  }
  t.same([...missing], [])
  // A link to the file of a test stands beside its name.
  const mentions = text.match(/(?<!\]\([./]*)test\/[\w/-]+\.test\.ts/g) ?? []
  t.equal(mentions.length, [...text.matchAll(REFERENCE)].length, 'no test is named in another form')
  t.end()
})

t.test('every requirement of the chapters has one row: a test, documentation, a deviation, or why it does not apply', (t) => {
  const rows = rowsUnder(['ASVS', 'level', 'what hatcheck does', 'test'])
  const left = rowsUnder(['ASVS', 'why it does not apply'])
  const deviations = rowsUnder(['ASVS', 'deviation', 'reason'])
  const wanted = Object.entries(ASVS).flatMap(([chapter, sections]) =>
    sections.flatMap((count, i) => Array.from({ length: count }, (_, at) => `${chapter}.${i + 1}.${at + 1}`)))
  const answered = [...rows, ...left].flatMap(({ cells: [ids = ''] }) => idsOf(ids))
  t.same([...answered].sort(byNumber), wanted.sort(byNumber))
  t.equal(rows.filter(({ cells: [id = ''] }) => id.startsWith('7.')).length, 19, 'all of V7 has a row')

  for (const { cells: [id = '', level = '', what = '', evidence = ''] } of rows) {
    t.match(level, /^[123]$/, id)
    t.ok(what.length > 10, `${id} says what hatcheck does`)
    const rest = evidence.replace(REFERENCE, '').split('<br>').map((part) => part.trim()).filter((part) => part !== '')
    for (const part of rest) t.match(part, /^(documentation|deviation)$/, `${id} has tests, documentation or a deviation`)
    t.not(evidence, '', id)
  }
  const marked = rows.filter(({ cells: [, , , evidence = ''] }) => evidence.includes('deviation')).map(({ cells: [id = ''] }) => id)
  t.same(deviations.flatMap(({ cells: [ids = ''] }) => idsOf(ids)).sort(byNumber), marked.sort(byNumber), 'each deviation has its row, and each row its deviation')
  for (const { cells } of [...left, ...deviations]) t.notOk(cells.includes(''), `${cells[0]} has a reason`)
  t.end()
})

t.test('every advisory has a test or a reason why it does not apply', (t) => {
  const covered = rowsUnder(['advisory', 'what went wrong', 'test'])
  const left = rowsUnder(['advisory', 'what went wrong', 'why it does not apply'])
  t.ok(covered.length > 20)
  for (const { cells: [advisory = '', , evidence = ''] } of covered) t.match(evidence, new RegExp(REFERENCE.source), advisory)
  for (const { cells } of left) t.notOk(cells.includes(''), `${cells[0]} has a reason`)
  t.end()
})

t.test('the lifetimes in the documentation match the code', (t) => {
  const { lifetimes } = resolveConfig({ secretKey: testKey }, 'plugin')
  const units: Record<string, number> = { hour: 3_600, hours: 3_600, day: 86_400, days: 86_400 }
  const secondsOf = (cell = ''): number => {
    const [amount = '', unit = ''] = cell.split(' ')
    return Number(amount) * (units[unit] ?? NaN)
  }
  for (const where of ['docs/session.md', 'docs/security/nist.md']) {
    const page = pageAt(where)
    for (const [kind, { idleSeconds, lifetimeSeconds }] of [['browser', lifetimes.browser], ['permanent', lifetimes.permanent]] as const) {
      const [, idle, lifetime] = new RegExp(`^\\| ${kind} session \\| ([^|]+) \\| ([^|]+) \\|`, 'm').exec(page) ?? []
      t.same([secondsOf(idle?.trim()), secondsOf(lifetime?.trim())], [idleSeconds, lifetimeSeconds], `${kind}, in ${where}`)
    }
  }
  t.end()
})

/** The titles of the tests in a file; a variable part of a title is an ellipsis. */
function titlesOf (file: string): Set<string> {
  const titles = new Set<string>()
  const path = join(checkout, file)
  if (!existsSync(path)) return titles
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.arguments[0] !== undefined) {
      const { expression } = node
      const callee = ts.isPropertyAccessExpression(expression) ? expression.name.text : ts.isIdentifier(expression) ? expression.text : ''
      const title = callee === 'test' ? titleOf(node.arguments[0]) : null
      if (title !== null) titles.add(title)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest))
  return titles
}

function titleOf (node: ts.Expression): string | null {
  if (ts.isStringLiteralLike(node)) return node.text
  if (!ts.isTemplateExpression(node)) return null
  return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')
}

/** The rows of every table with these headings. */
function rowsUnder (headings: readonly string[]): Row[] {
  const rows: Row[] = []
  let within = false
  for (const line of text.split('\n')) {
    if (!line.startsWith('|')) {
      within = false
      continue
    }
    const cells = line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim())
    if (cells.join('|') === headings.join('|')) within = true
    else if (within && !/^-+$/.test(cells[0] ?? '')) rows.push({ cells })
  }
  return rows
}

/** `6.5.1–6.5.8, 6.7.1` → each of them */
function idsOf (cell: string): string[] {
  return cell.split(', ').flatMap((part) => {
    const [from = '', to] = part.split('–')
    if (to === undefined) return [from]
    const [section, first, last] = [from.replace(/\.\d+$/, ''), Number(from.split('.').at(-1)), Number(to.split('.').at(-1))]
    return Array.from({ length: last - first + 1 }, (_, at) => `${section}.${first + at}`)
  })
}

function byNumber (one: string, other: string): number {
  return one.localeCompare(other, 'en', { numeric: true })
}
