import { markdownTable } from '../markdown.js'
import { cases, type CaseName } from './cases/index.js'
import type { PeerName } from './peers/index.js'
import type { Cell } from './run.js'

/** What a run has seen, as `--json` prints it. */
export interface Result {
  /** The day of the run. */
  date: string
  node: string
  versions: Record<string, string>
  cells: Cell[]
}

/** Returns the table as Markdown: a row for each peer, a column for each case. */
export function tableOf ({ cells }: Pick<Result, 'cells'>): string {
  const names = (Object.keys(cases) as CaseName[]).filter((name) => cells.some((cell) => cell.case === name))
  const rows = [...new Set(cells.map(({ peer }) => peer))]
  return markdownTable(['', ...names.map((name) => cases[name].title)],
    rows.map((peer) => [peer, ...names.map((name) => textOf(cells.find((cell) => cell.peer === peer && cell.case === name)))]))
}

/** Returns the versions of all that took part. */
export function versionsOf ({ node, versions }: Result): string {
  return Object.entries({ 'Node.js': node.slice(1), ...versions }).map(([name, version]) => `${name} ${version}`).join(', ')
}

/** Returns what was seen in the cells of one peer, by the names of the tries. */
export function detailsOf ({ cells }: Pick<Result, 'cells'>, peer: PeerName): string {
  return cells.filter((cell) => cell.peer === peer).flatMap((cell) => Object.entries(cell.what).map(([name, what]) => `${cell.case}: ${name}: ${what}\n`)).join('')
}

function textOf (cell: Cell | undefined): string {
  if (cell === undefined) return ''
  if (cell.notApplicable !== undefined) return `not applicable: ${cell.notApplicable}`
  if (cell.tries === 0) return 'not applicable: no such step'
  return cell.seen === 0 ? `held (${cell.tries} tries)` : `**${cases[cell.case].seen}** (${cell.seen} of ${cell.tries})`
}
