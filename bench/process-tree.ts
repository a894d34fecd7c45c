import { readdirSync, readFileSync } from 'node:fs'

// As Linux tells it. Elsewhere no contender has a process below its own.

/** Returns the processes that a process has started, and those that they have. */
export function descendantsOf (pid: number): number[] {
  const children = tasksOf(pid).flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(' ').filter((child) => child !== '').map(Number))
  return children.flatMap((child) => [child, ...descendantsOf(child)])
}

/** Returns the CPU time that the threads of a process have had so far, in µs. */
export function cpuMicrosOf (pid: number): number {
  return tasksOf(pid).reduce((sum, task) => sum + Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0]) / 1_000, 0)
}

function tasksOf (pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** A thread may have ended meanwhile. */
function read (file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}
