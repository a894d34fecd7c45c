import { markdownTable } from '../markdown.js'
import { WATCHED, type Findings, type Watched, type WatchedOperation } from './findings.js'

/** Renders the findings of one store in tables for people: a column for each size. */
export function table (title: string, findings: readonly Findings[]): string {
  const head = [`${title}: sessions`, ...findings.map(({ sessions }) => sessions.toLocaleString('en'))]
  const costs = rowsOf(findings, {
    users: ({ users }) => users.toLocaleString('en'),
    'created a second': ({ create }) => number(create.perSecond),
    'create: CPU': ({ create }) => micros(create.cpuMicros),
    'bytes a session': ({ bytesPerSession }) => number(bytesPerSession),
    'resident memory after creating them': ({ createdRssBytes }) => mebibytes(createdRssBytes),
    'resident memory after opening, after reads': ({ openRssBytes, readRssBytes }) => `${mebibytes(openRssBytes)}, ${mebibytes(readRssBytes)}`,
    open: ({ openMs }) => millis(openMs),
    'read: p50, p99': ({ read }) => `${micros(read.micros.p50)}, ${micros(read.micros.p99)}`,
    'read: of the event loop': ({ read }) => micros(read.loopMicros),
    'touch: p50, p99': ({ touch }) => `${micros(touch.micros.p50)}, ${micros(touch.micros.p99)}`,
    'touch: CPU, of the event loop': ({ touch }) => `${micros(touch.cpuMicros)}, ${micros(touch.loopMicros)}`,
    'change: p50, p99': ({ change }) => `${micros(change.micros.p50)}, ${micros(change.micros.p99)}`,
    'change: CPU, of the event loop': ({ change }) => `${micros(change.cpuMicros)}, ${micros(change.loopMicros)}`
  })
  const operations = Object.keys(WATCHED) as WatchedOperation[]
  const watched = operations.flatMap((operation) => rowsOf(findings, Object.fromEntries(Object.entries(ASPECTS)
    .filter(([, aspect]) => findings.some(({ watched }) => aspect(watched[operation]) !== ''))
    .map(([name, aspect]) => [`${WATCHED[operation]}${name}`, ({ watched }: Findings) => aspect(watched[operation])]))))
  return [
    markdownTable(head, costs), markdownTable(head, watched),
    'Touches and changes: 16 at a time; creating: 50 at a time. The longest block is the longest turn of an event loop that never',
    'waits; in brackets without the time in which it had no processor, and by CPU time. Delay is how late a timer of 1 ms is. Requests',
    'come from eight visitors of an application in the same process.'
  ].join('\n')
}

const ASPECTS: Record<string, (watched: Watched) => string> = {
  '': ({ tookMs, sessions }) => sessions === 0 ? '' : millis(tookMs),
  ': longest block': ({ loop }) => `${millis(loop.blockMs)} (${millis(loop.blockReadyMs)}, ${millis(loop.blockCpuMs)})`,
  ': longest garbage collection': ({ loop }) => millis(loop.gcMs),
  ': delay p99, max': ({ loop }) => `${millis(loop.p99Ms)}, ${millis(loop.maxMs)}`,
  ': requests that read, p50, p99, max': ({ requests }) => requests === undefined ? '' : [requests.read.p50, requests.read.p99, requests.read.max].map(millis).join(', '),
  ': requests that change, p50, p99, max': ({ requests }) => requests === undefined ? '' : [requests.change.p50, requests.change.p99, requests.change.max].map(millis).join(', '),
  ': requests that failed': ({ requests }) => requests === undefined || requests.read.failed + requests.change.failed === 0 ? '' : number(requests.read.failed + requests.change.failed),
  ': longest in Redis': ({ redis }) => redis === undefined ? '' : Object.entries(redis).sort(([, a], [, b]) => b - a).slice(0, 3).map(([what, ms]) => `${what} ${millis(ms)}`).join(', ') || 'below 0.5 ms'
}

function rowsOf (findings: readonly Findings[], rows: Record<string, (findings: Findings) => string>): string[][] {
  return Object.entries(rows).map(([name, value]) => [name, ...findings.map(value)])
}

function number (value: number): string {
  return Math.round(value).toLocaleString('en')
}

function micros (value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} µs`
}

function millis (value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} ms`
}

function mebibytes (bytes: number): string {
  return `${number(bytes / 2 ** 20)} MiB`
}
