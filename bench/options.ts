import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { integer } from './command-line.js'
import { allContenders } from './contenders/index.js'
import { isOfProxies, rows } from './rows.js'

/** How long and how often is measured. */
export interface Plan {
  /**
   * Several generations of processes: the same code in another process, elsewhere in memory and compiled at another moment,
   * can be a tenth faster or slower for as long as it lives.
   */
  generations: number
  /** Each row is warmed up with this number of requests, or for this long if the contender is slow. */
  warmUp: { requests: number, ms: number }
  /** Many short rounds rather than few long ones: what disturbs a round then disturbs every contender in it, or is outvoted. */
  rounds: number
  /** The length of one measurement. */
  ms: number
}

const quickPlan: Plan = { generations: 1, warmUp: { requests: 3_000, ms: 450 }, rounds: 2, ms: 80 }
const fullPlan: Plan = { generations: 3, warmUp: { requests: 5_000, ms: 3_000 }, rounds: 7, ms: 250 }

/** Reads the options of `npm run bench`. */
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
  if (other !== undefined && !existsSync(join(other, 'dist/app.js'))) throw new Error(`--other must be a compiled checkout; run npm run build in ${other}.`)
  const plan = { ...quick ? quickPlan : fullPlan }
  for (const [name, count] of Object.entries(counts) as Array<[keyof typeof counts, string | undefined]>) {
    if (count === undefined) continue
    plan[name] = integer(`--${name}`, count)
  }
  const isNamed = matcher('--requests', requests, rows)
  // A quick run has no time for the rows of proxies, unless they are asked for.
  const isRowWanted = (name: string): boolean => isNamed(name) && !(quick && requests === '' && isOfProxies(name))
  if (isRowWanted('logout') && !isRowWanted('login')) throw new Error('--requests: "logout" ends the sessions of "login"; name both.')
  return {
    plan,
    isWanted: matcher('--only', only, allContenders(other)),
    isRowWanted,
    json,
    svg,
    profile,
    other: other === undefined ? undefined : resolve(other)
  }
}

/** Returns whether a name begins with one of those in the list. An empty list names all. */
function matcher (option: string, list: string, all: ReadonlyArray<{ name: string }>): (name: string) => boolean {
  const starts = list.split(',').map((start) => start.trim().toLowerCase()).filter((start) => start !== '')
  const matches = (name: string): boolean => starts.length === 0 || starts.some((start) => name.toLowerCase().startsWith(start))
  if (!all.some(({ name }) => matches(name))) throw new Error(`${option} must begin like one of these; got "${list}".\n${all.map(({ name }) => `  ${name}`).join('\n')}`)
  return matches
}
