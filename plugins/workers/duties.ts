/** The environment variable in which the primary tells each worker its duties. */
export const DUTIES_VARIABLE = 'WORKER_OF_HATCHECK'

/**
 * A task that exactly one process has:
 * - `announces`: logs the start. Only the very first worker has it, no replacement.
 * - `sweeps`: drops expired records. A replacement takes this duty over.
 */
export type Duty = 'announces' | 'sweeps'

/** Tells whether this process is one of several workers. */
export function isWorker (): boolean {
  return process.env[DUTIES_VARIABLE] !== undefined
}

/** Tells whether this process has a duty. A single process has every duty. */
export function hasDuty (duty: Duty): boolean {
  return process.env[DUTIES_VARIABLE]?.split(',').includes(duty) ?? true
}
