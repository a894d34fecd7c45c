import { endWithParent } from '../processes.js'
import type { BenchStore } from '../stores.js'
import { fill } from './fill.js'
import type { Filled, Measured } from './findings.js'
import { measure } from './measure.js'
import type { Population } from './population.js'

// Fills or measures a store in a process of its own: node process.js <task>. The task is JSON.

export interface Task {
  readonly what: 'fill' | 'measure'
  readonly options: BenchStore['options']
  readonly population: Population
}

/** A message to the parent. */
export type Message = { readonly progress: string } | { readonly found: Filled | Measured }

endWithParent()

const { what, options, population } = JSON.parse(process.argv[2] ?? '') as Task
const work = what === 'fill' ? fill : measure
const found = await work(options, population, (progress) => { tell({ progress }) })
tell({ found })
process.disconnect()

function tell (message: Message): void {
  process.send?.(message)
}
