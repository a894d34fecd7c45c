import { readFileSync, writeFileSync } from 'node:fs'

/** Writes a table in Markdown. */
export function markdownTable (head: readonly string[], rows: ReadonlyArray<ReadonlyArray<string | number>>): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`.replace('|  |', '| |')).join('')
}

/** Replaces what is between the two markers of a name, such as `<!-- bench -->` and `<!-- /bench -->`, in a file. */
export function replaceSection (file: string, name: string, section: string): void {
  const text = readFileSync(file, 'utf8')
  const [first, last] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`]
  const [begin, end] = [text.indexOf(first) + first.length, text.indexOf(last)]
  if (begin < first.length || end < begin) throw new Error(`${file} has no ${first.trim()} and ${last}`)
  writeFileSync(file, text.slice(0, begin) + section + text.slice(end))
}
