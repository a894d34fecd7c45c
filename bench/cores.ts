import { execFile } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'

const CORES = availableParallelism()

/**
 * The core of each role, so that no contender shares its own with the load. On two cores, Redis is beside the load: in
 * production it is another machine.
 */
const coreOf = { load: 0, contender: 1, redis: CORES > 2 ? 2 : 0, any: `0-${CORES - 1}` }

/** Keeps processes, with all their threads, on the core of their role. Resolves to false if the system cannot. */
export async function keepOnCore (role: keyof typeof coreOf, ...pids: number[]): Promise<boolean> {
  if (CORES < 2) return false
  const pinned = pids.map((pid) => promisify(execFile)('taskset', ['-a', '-c', '-p', String(coreOf[role]), String(pid)]))
  return await Promise.all(pinned).then(() => true, () => false)
}
