import { reference } from './contenders/index.js'
import type { Sample } from './measure.js'
import type { Round } from './results.js'
import type { Row } from './rows.js'
import type { RunningContender } from './running-contender.js'
import { mean } from './statistics.js'

/** How many contenders are measured between two measurements of the reference. */
const STRIDE = 4

/** One measurement of each row. A row that the contender has no request for is missing. */
type Samples = Partial<Record<Row['name'], Sample>>

/**
 * Measures some rows of each contender once, and the reference before and after every few of them: what else the machine does
 * changes within seconds, and then affects both sides of a ratio.
 */
export async function measureTurn (rows: readonly Row[], running: readonly RunningContender[], ms: number): Promise<Round> {
  const bare = running.find(({ contender }) => contender.name === reference) as RunningContender
  const others = running.filter((one) => one !== bare)
  const found: Array<{ name: string, samples: Samples, around: Samples[] }> = []
  const ofBare = [await measureEach(rows, bare, ms)]
  for (let i = 0; i < others.length; i += STRIDE) {
    const group = []
    for (const one of others.slice(i, i + STRIDE)) group.push({ name: one.contender.name, samples: await measureEach(rows, one, ms) })
    ofBare.push(await measureEach(rows, bare, ms))
    const around = ofBare.slice(-2)
    found.push(...group.map((one) => ({ ...one, around })))
  }
  for (const samples of ofBare) found.push({ name: reference, samples, around: [samples] })
  return Object.fromEntries(rows.map((row) => [row.name, found.flatMap(({ name, samples, around }) => {
    const sample = samples[row.name]
    const referenceMicros = mean(around.map((ofReference) => ofReference[row.name]?.cpuMicros ?? NaN))
    return sample === undefined ? [] : [{ ...sample, name, referenceMicros }]
  })]))
}

async function measureEach (rows: readonly Row[], one: RunningContender, ms: number): Promise<Samples> {
  const samples: Samples = {}
  for (const row of rows) {
    const sample = await one.measure(row, ms)
    if (sample !== null) samples[row.name] = sample
  }
  return samples
}
