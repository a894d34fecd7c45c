import { readdirSync, readFileSync } from 'node:fs'

// From /proc of Linux. Elsewhere nothing is found: a contender with processes below its own is measured on Linux only.

/** Returns the processes below a process. */
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
