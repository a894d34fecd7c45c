import { parseArgs } from 'node:util'
import { resolve } from 'node:path'
import { positiveNumber } from './usage.js'

/** How long and how often is measured. */
export interface Plan {
  /**
   * Several generations of processes: the same code in another process, elsewhere in memory and compiled at another moment,
   * can be a tenth faster or slower for as long as it lives.
   */
  generations: number
  /** Each row is warmed up with this number of requests: a busy machine warms up more slowly, and as well. */
  warmUpRequests: number
  /** Many short rounds rather than few long ones: what disturbs a round then disturbs every contender in it, or is outvoted. */
  rounds: number
  ms: number
}

const quickPlan: Plan = { generations: 1, warmUpRequests: 300, rounds: 2, ms: 80 }
const fullPlan: Plan = { generations: 5, warmUpRequests: 5_000, rounds: 7, ms: 250 }

/** What the command line of `npm run bench -- …` says. */
export function optionsOf (args: string[]) {
  const { values: { quick, only = '', requests = '', json, svg, profile, other, ...counts } } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      requests: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      profile: { type: 'string' },
      other: { type: 'string' },
      generations: { type: 'string' },
      rounds: { type: 'string' },
      ms: { type: 'string' }
    }
  })
  const plan = { ...quick ? quickPlan : fullPlan }
  for (const [name, count] of Object.entries(counts) as Array<[keyof typeof counts, string | undefined]>) {
    if (count === undefined) continue
    plan[name] = positiveNumber(`--${name}`, count)
  }
  return {
    plan,
    /** Whether a name begins with one of those that are asked for, or all are. */
    isWanted: matcher(only),
    isRowWanted: matcher(requests),
    json,
    svg,
    profile,
    other: other === undefined ? undefined : resolve(other)
  }
}

function matcher (list: string): (name: string) => boolean {
  const starts = list.split(',').map((start) => start.trim().toLowerCase()).filter((start) => start !== '')
  return (name) => starts.length === 0 || starts.some((start) => name.toLowerCase().startsWith(start))
}
