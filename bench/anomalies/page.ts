import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tableOf, versionsOf, type Result } from './table.js'

const [BEGIN, END] = ['<!-- table -->\n', '<!-- /table -->\n']

/** Returns what stands between the markers of docs/anomalies.md. */
export function sectionOf (result: Result): string {
  return `${BEGIN}${tableOf(result)}\nSeen on ${result.date} with ${versionsOf(result)}.\n${END}`
}

/** Writes a result, and the table of it to the page, in the checkout at `root`. */
export function savePage (root: string, result: Result): void {
  const page = join(root, 'docs/anomalies.md')
  const [before = '', rest = ''] = readFileSync(page, 'utf8').split(BEGIN)
  const [, after = ''] = rest.split(END)
  writeFileSync(page, `${before}${sectionOf(result)}${after}`)
  writeFileSync(join(root, 'bench/anomalies/seen.json'), `${JSON.stringify(result, null, 2)}\n`)
}
