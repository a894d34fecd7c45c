import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { replaceSection } from '../markdown.js'
import { tableOf, versionsOf, type Result } from './table.js'

/** Returns what stands between the markers of docs/anomalies.md. */
export function sectionOf (result: Result): string {
  return `${tableOf(result)}\nSeen on ${result.date} with ${versionsOf(result)}.\n`
}

/** Writes a result, and the table of it to the page, in the checkout at `root`. */
export function savePage (root: string, result: Result): void {
  replaceSection(join(root, 'docs/anomalies.md'), 'table', sectionOf(result))
  writeFileSync(join(root, 'bench/anomalies/seen.json'), `${JSON.stringify(result, null, 2)}\n`)
}
