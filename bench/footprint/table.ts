import { markdownTable } from '../markdown.js'
import { median } from '../statistics.js'
import type { ApplicationSample } from './applications.js'
import type { LoadSample, StartSample } from './service.js'

export interface Installed {
  /** The size of node_modules on the disk, in MiB. */
  mebibytes: number
  packages: number
}

/** What `--json` prints. */
export interface Footprint {
  node: string
  processor: string
  applications?: Array<{ name: string } & Installed & ApplicationSample>
  services?: Array<{ name: string, start: StartSample, load: LoadSample } & Installed>
}

/** Returns the median of each number of the samples. */
export function mediansOf<T extends { [Key in keyof T]: number }> (samples: readonly T[]): T {
  const [first] = samples
  if (first === undefined) throw new RangeError('no samples')
  return Object.fromEntries(Object.keys(first).map((key) => [key, median(samples.map((sample) => sample[key as keyof T]))])) as T
}

export function applicationTable (applications: NonNullable<Footprint['applications']>): string {
  return markdownTable(['', 'installed, MiB', 'packages', 'import, ms', 'register, ms', 'first answer, ms', 'memory, MiB'], applications.map((row) => [
    row.name, row.mebibytes.toFixed(1), row.packages, row.importMs.toFixed(0), row.registerMs.toFixed(0), row.answerMs.toFixed(0), mebibytes(row.residentBytes)
  ]))
}

export function serviceTable (services: NonNullable<Footprint['services']>): string {
  const requests = services[0]?.load.requests.toLocaleString('en')
  return markdownTable(['', 'installed, MiB', 'packages', 'start, ms', 'CPU of the start, ms', 'memory after the start, MiB', `after ${requests} requests`, 'CPU of a request, µs'], services.map((row) => [
    row.name, row.mebibytes.toFixed(1), row.packages, row.start.wallMs.toFixed(0), row.start.cpuMs.toFixed(0), mebibytes(row.start.residentBytes),
    mebibytes(row.load.residentBytes), row.load.requestMicros.toFixed(0)
  ]))
}

function mebibytes (bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}
