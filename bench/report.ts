import { contenderNames, reference, type ContenderName } from './contenders.js'
import type { Sample } from './measure.js'
import { states, type State } from './visitors.js'

/** What was measured in one round. */
export type Round = Record<State, Record<ContenderName, Sample>>

/** Every measurement, as a table for people. */
export function report (rounds: readonly Round[]): string {
  const rows = states.flatMap((state) => contenderNames.map((name) => {
    const samples = rounds.map((round) => round[state][name])
    return [
      name,
      state,
      range(samples.map(({ requestsPerSecond }) => requestsPerSecond), 0),
      range(samples.map(({ cpuMicros }) => cpuMicros), 1),
      ...name === reference ? ['1', '1'] : [range(ratios(rounds, state, name).cpu, 2), range(ratios(rounds, state, name).throughput, 2)]
    ]
  }))
  return [
    table(['contender', 'state', 'req/s', 'CPU µs/request', 'ratio by CPU', 'ratio by req/s'], rows),
    `Medians of ${rounds.length} rounds (min–max). A ratio is that to ${reference} in the same round; higher is better.`,
    steadier(rounds),
    saturation(rounds)
  ].join('\n')
}

/** How a contender compares in one round, in few words. */
export function headline (rounds: readonly Round[], name: ContenderName): string {
  return states.map((state) => `${median(ratios(rounds, state, name).cpu).toFixed(2)} ${state}`).join(', ')
}

/** Each round is compared with itself: what else the machine did at that time touched both sides. */
function ratios (rounds: readonly Round[], state: State, name: ContenderName): { cpu: number[], throughput: number[] } {
  const pairs = rounds.map((round) => [round[state][name], round[state][reference]] as const)
  return {
    cpu: pairs.map(([own, bare]) => bare.cpuMicros / own.cpuMicros),
    throughput: pairs.map(([own, bare]) => own.requestsPerSecond / bare.requestsPerSecond)
  }
}

function steadier (rounds: readonly Round[]): string {
  const compared = contenderNames.filter((name) => name !== reference).flatMap((name) => states.map((state) => ratios(rounds, state, name)))
  const cpu = median(compared.map(({ cpu }) => spread(cpu)))
  const throughput = median(compared.map(({ throughput }) => spread(throughput)))
  const [steady, shaky] = cpu <= throughput ? ['CPU', 'req/s'] : ['req/s', 'CPU']
  return `Go by the ratio by ${steady}: it varied by ${percent(Math.min(cpu, throughput))} of its median, the one by ${shaky} by ${percent(Math.max(cpu, throughput))}.`
}

/** When no server is busy all the time, requests per second say as much of the load generator as of the server. */
function saturation (rounds: readonly Round[]): string {
  const parts = states.flatMap((state) => contenderNames.map((name) => median(rounds.map((round) => round[state][name].busy))))
  return `The servers were busy ${percent(Math.min(...parts))} to ${percent(Math.max(...parts))} of the time.`
}

function spread (values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values)
}

function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

function range (values: readonly number[], digits: number): string {
  const [middle, min, max] = [median(values), Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits))
  return `${middle} (${min}–${max})`
}

function percent (part: number): string {
  return `${Math.round(part * 100)} %`
}

function table (head: string[], rows: string[][]): string {
  const widths = head.map((title, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0), title.length))
  const line = (cells: string[]): string => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n') + '\n'
}
