import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/**
 * Resolves to the next message of a process, which answers a question if there is one.
 *
 * @throws if the process ends instead
 */
export async function answerOf<T> (child: ChildProcess, name: string, question?: string): Promise<T> {
  const done = new AbortController()
  const { signal } = done
  try {
    if (hasEnded(child)) throw new Error(`${name} has ended`)
    const answer = Promise.race([
      once(child, 'message', { signal }).then(([message]) => message as T),
      once(child, 'exit', { signal }).then(() => { throw new Error(`${name} has ended`) })
    ])
    // A process that no message can be sent to has ended, or is about to.
    if (question !== undefined) child.send(question, () => {})
    return await answer
  } finally {
    done.abort()
  }
}

/** Asks a process to end, with SIGTERM by default, and resolves when it has ended; idempotent. */
export async function endProcess (child: ChildProcess, ask: () => void = () => { child.kill() }): Promise<void> {
  if (hasEnded(child)) return
  const ended = once(child, 'exit')
  ask()
  await ended
}

/**
 * Lets this process end when its parent does.
 *
 * @param close runs before the end
 */
export function endWithParent (close: () => Promise<unknown> = async () => {}): void {
  // Ctrl-C reaches every process of a terminal; here the parent decides.
  process.on('SIGINT', () => {})
  process.on('disconnect', () => { close().finally(() => { process.exit() }) })
}

function hasEnded ({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}
