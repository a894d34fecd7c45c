import type { Findings } from './findings.js'

const THEMES = {
  light: { text: '#1f2328', faint: '#59636e', grid: '#d1d9e0', series: ['#0969da', '#1a7f37', '#9a6700', '#cf222e'] },
  dark: { text: '#f0f6fc', faint: '#9198a1', grid: '#3d444d', series: ['#4493f8', '#3fb950', '#d29922', '#f85149'] }
} as const

const SERIES: ReadonlyArray<{ name: string, value: (findings: Findings) => number }> = [
  { name: 'read, p50', value: ({ read }) => read.micros.p50 },
  { name: 'read, p99', value: ({ read }) => read.micros.p99 },
  { name: 'touch, CPU', value: ({ touch }) => touch.cpuMicros },
  { name: 'change, CPU', value: ({ change }) => change.cpuMicros }
]

const PANEL = { width: 400, height: 300, left: 60, right: 40, top: 64, bottom: 48 }
const LEGEND_HEIGHT = 36
const SMALLEST_MICROS = 1

/** Draws what calls cost against the number of sessions, a panel for each store, with logarithmic axes. */
export function chart (found: Record<string, readonly Findings[]>, theme: keyof typeof THEMES): string {
  const { text, faint, series } = THEMES[theme]
  const stores = Object.entries(found)
  const all = stores.flatMap(([, findings]) => findings)
  const largest = 10 ** Math.ceil(Math.log10(Math.max(...all.flatMap((findings) => SERIES.map(({ value }) => value(findings))))))
  const sizes = [...new Set(all.map(({ sessions }) => sessions))].sort((a, b) => a - b)
  const width = stores.length * PANEL.width
  const height = PANEL.height + LEGEND_HEIGHT
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="t d" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="13" fill="${text}">
  <title id="t">The cost of a call to the store against the number of sessions</title>
  <desc id="d">${stores.map(([title, findings]) => described(title, findings)).join(' ')}</desc>
${stores.map(([title, findings], i) => `  <g transform="translate(${i * PANEL.width} 0)">\n${panel(title, findings, sizes, largest, theme)}\n  </g>`).join('\n')}
${SERIES.map(({ name }, i) => `  <path d="M${PANEL.left + i * 130} ${PANEL.height + 12}h24" stroke="${series[i]}" stroke-width="2.5"/><text x="${PANEL.left + 30 + i * 130}" y="${PANEL.height + 17}" fill="${faint}">${name}</text>`).join('\n')}
</svg>
`
}

function panel (title: string, findings: readonly Findings[], sizes: readonly number[], largest: number, theme: keyof typeof THEMES): string {
  const { faint, grid, series } = THEMES[theme]
  const { width, height, left, right, top, bottom } = PANEL
  const x = scale(sizes[0] ?? 1, sizes.at(-1) ?? 1, left, width - right)
  const y = scale(SMALLEST_MICROS, largest, height - bottom, top)
  const ticks = Array.from({ length: Math.round(Math.log10(largest / SMALLEST_MICROS)) + 1 }, (_, i) => SMALLEST_MICROS * 10 ** i)
  return [
    `    <text x="${left}" y="30" font-weight="600" font-size="15">${title}</text>`,
    ...ticks.map((tick) => `    <path d="M${left} ${y(tick)}H${width - right}" stroke="${grid}"/><text x="${left - 8}" y="${y(tick) + 4}" text-anchor="end" fill="${faint}">${unit(tick)}</text>`),
    ...sizes.map((size) => `    <text x="${x(size)}" y="${height - bottom + 20}" text-anchor="middle" fill="${faint}">${size.toLocaleString('en')}</text>`),
    `    <text x="${(left + width - right) / 2}" y="${height - bottom + 40}" text-anchor="middle" fill="${faint}">sessions</text>`,
    ...SERIES.map(({ value }, i) => line(findings.map((one) => [x(one.sessions), y(Math.max(SMALLEST_MICROS, value(one)))]), series[i] ?? faint))
  ].join('\n')
}

function line (points: ReadonlyArray<readonly [number, number]>, colour: string): string {
  const dots = points.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3.5" fill="${colour}"/>`).join('')
  return `    <path d="M${points.map((point) => point.join(' ')).join('L')}" fill="none" stroke="${colour}" stroke-width="2.5"/>${dots}`
}

/** Returns a logarithmic scale, rounded to tenths of a pixel. */
function scale (from: number, to: number, start: number, end: number): (value: number) => number {
  const span = Math.log10(to / from) || 1
  return (value) => Math.round(10 * (start + (end - start) * Math.log10(value / from) / span)) / 10
}

function unit (micros: number): string {
  return micros < 1_000 ? `${micros} µs` : `${micros / 1_000} ms`
}

function described (title: string, findings: readonly Findings[]): string {
  const [first, last] = [findings[0], findings.at(-1)]
  if (first === undefined || last === undefined) return ''
  return `${title}, from ${first.sessions.toLocaleString('en')} to ${last.sessions.toLocaleString('en')} sessions: ${SERIES.map(({ name, value }) => `${name} from ${value(first).toFixed(1)} to ${value(last).toFixed(1)} µs`).join('; ')}.`
}
