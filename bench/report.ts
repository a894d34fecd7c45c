import { reference } from './contenders/index.js'
import { CONNECTIONS, VISITORS } from './population.js'
import { parts } from './profile/parts.js'
import type { Result, Results } from './results.js'
import { median } from './statistics.js'

/** Renders every measurement, as tables for people. */
export function report (results: Results): string {
  const names = Object.keys(results.rows)
  const overview = results.contenders.map((name) => [name, ...names.map((row) => results.rows[row]?.[name]?.ratio.toFixed(2) ?? '-')])
  const details = Object.entries(results.rows).map(([row, contenders]) => `${row}\n` + table(
    ['contender', 'CPU µs', 'Redis µs', 'ratio (lowest to highest)', 'p50 ms', 'p99 ms', 'req/s', 'busy'],
    Object.entries(contenders).map(([name, { cpuMicros, redisMicros, ratio, lowestRatio, highestRatio, p50Ms, p99Ms, requestsPerSecond, busy }]) => [
      name,
      cpuMicros.toFixed(1),
      redisMicros?.toFixed(1) ?? '-',
      `${ratio.toFixed(2)} (${lowestRatio.toFixed(2)} to ${highestRatio.toFixed(2)})`,
      p50Ms.toFixed(2),
      p99Ms.toFixed(2),
      requestsPerSecond.toFixed(0),
      `${Math.round(busy * 100)} %`
    ])
  ))
  const profiles = Object.entries(results.rows).flatMap(([row, contenders]) => {
    const lines = Object.entries(contenders).flatMap(([name, { cpuMicros, microsByPart }]) => microsByPart === null ? [] : [[name, ...cellsOf(microsByPart, cpuMicros)]])
    return lines.length === 0 ? [] : [`${row}, profiled: CPU µs of a request\n` + table(['contender', ...parts, 'other threads'], lines)]
  })
  const all = Object.values(results.rows).flatMap((row) => Object.values(row))
  return [
    ...details,
    ...profiles,
    'CPU of the bare route for a request, divided by that of the contender: higher is better',
    table(['contender', ...names], overview),
    environmentText(results.environment),
    `Medians of ${results.rounds} rounds; a ratio is that to ${reference} just before and after. CPU and Redis are for one request.`,
    `${CONNECTIONS} connections: one visitor each, or ("proxy") ${VISITORS.toLocaleString('en')} visitors over all of them.`,
    `The middle half of the ratios of a contender in a row is within ${(median(all.map(({ ratioSpread }) => ratioSpread)) * 100).toFixed(0)} %.`
  ].join('\n')
}

/** What a request spends its CPU time on, in µs: the parts of the main thread, then the other threads. */
export function cellsOf (microsByPart: NonNullable<Result['microsByPart']>, cpuMicros: number): string[] {
  const ofMain = parts.map((part) => microsByPart[part])
  const ofOthers = Math.max(0, ofMain.reduce((left, micros) => left - micros, cpuMicros))
  return [...ofMain, ofOthers].map((micros) => micros.toFixed(1))
}

export function environmentText (environment: Results['environment']): string {
  return Object.entries(environment).map(([name, value]) => `${name} ${value}`).join(', ')
}

function table (head: string[], rows: string[][]): string {
  const widths = head.map((title, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0), title.length))
  const line = (cells: string[]): string => cells.map((cell, column) => column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)).join('  ').trimEnd()
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n') + '\n'
}
