import { existsSync, readFileSync } from 'node:fs'

/** The resident memory of a process in MiB; 0 where there is no /proc. */
export function memoryOf (pid = 0): number {
  const file = `/proc/${pid}/status`
  return existsSync(file) ? Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(file, 'utf8'))?.[1]) / 1024) : 0
}
