import type { Place } from '../places.js'
import { fill } from './fill.js'
import type { Filled, Measured } from './findings.js'
import { measure } from './measure.js'
import type { Population } from './population.js'

// Fills or measures a store in a process of its own: node process.js <task>. The task is JSON.

export interface Task {
  readonly what: 'fill' | 'measure'
  readonly options: Place['options']
  readonly population: Population
}

/** A message to the parent. */
export type Told = { readonly progress: string } | { readonly found: Filled | Measured }

process.on('SIGINT', () => {})
process.on('disconnect', () => { process.exit() })

const { what, options, population } = JSON.parse(process.argv[2] ?? '') as Task
const work = what === 'fill' ? fill : measure
const found = await work(options, population, (progress) => { tell({ progress }) })
tell({ found })
process.disconnect()

function tell (told: Told): void {
  process.send?.(told)
}
