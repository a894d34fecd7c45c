/** Set by the primary in the environment of each worker, and by nobody else. */
export const DUTIES_VARIABLE = 'WORKER_OF_HATCHECK'

/**
 * What one of all processes does:
 * - `announces`: tells of the start in the log. It is that of the very first, and of none that takes a place.
 * - `sweeps`: drops what has expired. Whoever takes the place of this one does so too.
 */
export type Duty = 'announces' | 'sweeps'

/** Whether this process is one of several. */
export function isWorker (): boolean {
  return process.env[DUTIES_VARIABLE] !== undefined
}

/** A process that is alone has every duty. */
export function hasDuty (duty: Duty): boolean {
  return process.env[DUTIES_VARIABLE]?.split(',').includes(duty) ?? true
}

/** What workers tell one another, by way of the primary: this session is to be refused. */
export interface Refusal {
  hatcheck: 'refuse'
  key: string
}

export function isRefusal (message: unknown): message is Refusal {
  return (message as Partial<Refusal> | null)?.hatcheck === 'refuse'
}
