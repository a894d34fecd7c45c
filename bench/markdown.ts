/** Writes a table in Markdown. */
export function markdownTable (head: readonly string[], rows: ReadonlyArray<ReadonlyArray<string | number>>): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`.replace('|  |', '| |')).join('')
}
