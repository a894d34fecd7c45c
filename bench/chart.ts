import type { Results } from './results.js'
import { isOfProxies } from './rows.js'

const NAMES = 250
const COLUMN = 100
const BAR = 58
const LINE = 22
const HEAD = 64

/** Draws the ratios as bars, a column for each row. The rows with "proxy" in their names are left out, for lack of room. */
export function chart ({ contenders, rows, rounds }: Results): string {
  const columns = Object.keys(rows).filter((name) => !isOfProxies(name))
  const width = NAMES + columns.length * COLUMN + 10
  const height = HEAD + contenders.length * LINE + 12
  const heads = columns.map((name, column) => text(NAMES + column * COLUMN, 48, 'head', name))
  const lines = contenders.map((name, line) => {
    const y = HEAD + line * LINE
    const kind = name.startsWith('hatcheck') ? 'own' : name.startsWith('bare') ? 'bare' : 'peer'
    const bars = columns.map((row, column) => {
      const x = NAMES + column * COLUMN
      const ratio = rows[row]?.[name]?.ratio
      if (ratio === undefined) return text(x, y + 14, 'muted', '–')
      const length = Math.max(1, Math.min(1, ratio) * BAR)
      return `<rect class="${kind}" x="${x}" y="${y + 3}" width="${length.toFixed(1)}" height="14" rx="2"/>${text(x + length + 5, y + 14, kind === 'own' ? 'strong' : 'ink', ratio.toFixed(2))}`
    })
    return text(10, y + 14, kind === 'own' ? 'strong' : 'ink', name) + bars.join('')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">CPU time of a bare Fastify route for a request, divided by that of the contender</title>
<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328 }
  .title, .strong, .head { font-weight: 600 }
  .muted { fill: #59636e }
  .own { fill: #0969da } .peer { fill: #afb8c1 } .bare { fill: #818b98 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .muted { fill: #9198a1 }
    .own { fill: #4493f8 } .peer { fill: #4b535d } .bare { fill: #7d8590 }
  }
</style>
${text(10, 22, 'title', 'CPU time of a bare Fastify route for a request, divided by that of the contender: longer is better')}
${text(10, 48, 'muted', `medians of ${rounds} rounds`)}
${[...heads, ...lines].join('\n')}
</svg>
`
}

function text (x: number, y: number, kind: string, words: string): string {
  return `<text class="${kind}" x="${x.toFixed(0)}" y="${y}">${words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`
}
