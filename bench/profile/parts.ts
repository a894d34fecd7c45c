import type { Profiler } from 'node:inspector'

/** What a request spends its CPU time on, in the order of the table. */
export const parts = ['socket', 'Node.js', 'framework', 'application', 'session', 'store', 'driver', 'hashes', 'garbage', 'native'] as const

type Part = typeof parts[number]

/** CPU time of the main thread for one request by part, in µs. */
export type MicrosByPart = Record<Part, number>

/** The parts of files; the first that matches counts. null is not counted. */
const PART_OF_FILES: ReadonlyArray<[RegExp, Part | null]> = [
  // The start of the profiler itself.
  [/^node:inspector$/, null],
  [/^node:internal\/stream_base_commons$/, 'socket'],
  [/^node:internal\/crypto\//, 'hashes'],
  [/^node:/, 'Node.js'],
  [/\/node_modules\/(lmdb|msgpackr|ordered-binary|weak-lru-cache|ioredis|redis|redis-parser|denque|@redis|better-sqlite3|kysely)\//, 'driver'],
  [/\/node_modules\/connect-redis\//, 'store'],
  [/\/node_modules\/(@fastify|cookie|cookie-signature|sodium-native|express-session|iron-session|iron-webcrypto|uncrypto|better-auth|@better-auth|better-call)\//, 'session'],
  [/\/node_modules\//, 'framework'],
  // The home page is the application that each contender serves.
  [/\/(bench|plugins\/view)\//, 'application'],
  [/\/plugins\/storage\//, 'store'],
  [/^file:/, 'session']
]

/** What V8 names in place of a function. */
const PART_OF_STATES: Readonly<Record<string, Part | null>> = { '(idle)': null, '(root)': null, '(program)': 'native', '(garbage collector)': 'garbage' }

/** Sums up where the CPU time of a profile went. A native function counts for the code that calls it. */
export function microsByPart ({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile, requests: number): MicrosByPart {
  const partOf = new Map<number, Part | null>()
  const classify = (node: Profiler.ProfileNode, ofCaller: Part | null): void => {
    const part = partOfFunction(node, ofCaller)
    partOf.set(node.id, part)
    for (const id of node.children ?? []) classify(nodeOf.get(id) as Profiler.ProfileNode, part)
  }
  const nodeOf = new Map(nodes.map((node) => [node.id, node]))
  classify(nodes[0] as Profiler.ProfileNode, 'native')
  const micros = Object.fromEntries(parts.map((part) => [part, 0])) as MicrosByPart
  for (const [i, id] of samples.entries()) {
    const part = partOf.get(id) ?? null
    if (part !== null) micros[part] += (timeDeltas[i] ?? 0) / requests
  }
  return micros
}

function partOfFunction ({ callFrame: { functionName, url } }: Profiler.ProfileNode, ofCaller: Part | null): Part | null {
  const ofState = PART_OF_STATES[functionName]
  if (ofState !== undefined) return ofState
  if (url === '') return ofCaller
  const found = PART_OF_FILES.find(([files]) => files.test(url))
  return found === undefined ? 'native' : found[1]
}
