import type { RootDatabase } from 'lmdb'
import { setImmediate } from 'node:timers/promises'
import { DeadlineError, within } from '../../common/deadline.js'
import { SLICE_MS } from '../../common/slices.js'
import { guarded, storeUnavailable } from '../../store/errors.js'
import { callbackAwaited, callbackRuns } from './exit-guard.js'
import { SharedDeadline } from './shared-deadline.js'

/** How long a write may take, in ms. A write that fails by this may still be carried out. */
const DEADLINE_MS = 5_000

const writers = new WeakMap<RootDatabase, LmdbWriter>()

interface Write<T = any> {
  readonly doing: string
  readonly isDurable: boolean
  readonly action: () => T
  readonly resolve: (result: T) => void
  readonly reject: (error: Error) => void
  result?: T
  error?: unknown
}

/**
 * Writes to an LMDB environment. Each write succeeds or fails within a bounded time, even on a full disk.
 *
 * A transaction costs many times as much as a write in it. So there is one at a time, and it takes every write that waits.
 * Another begins beside it only once LMDB has not answered it in time.
 */
export class LmdbWriter {
  readonly #env: RootDatabase
  readonly #deadlineMs: number
  readonly #deadline: SharedDeadline<Write>
  readonly #flushes = new Set<Promise<void>>()
  #waiting: Write[] = []
  /** The writes of the transaction under way; null: there is none. They are known once it runs. */
  #current: Write[] | null = null
  /** Of transactions. That of a write may be over earlier, if it has waited for another transaction. */
  readonly #deadlineOfCurrent: SharedDeadline<Write[]>

  /** Returns the one writer of an environment. */
  static of (env: RootDatabase): LmdbWriter {
    let writer = writers.get(env)
    if (writer === undefined) {
      writer = new LmdbWriter(env)
      writers.set(env, writer)
    }
    return writer
  }

  constructor (env: RootDatabase, deadlineMs = DEADLINE_MS) {
    this.#env = env
    this.#deadlineMs = deadlineMs
    this.#deadline = new SharedDeadline(deadlineMs, (write) => { this.#giveUp(write) })
    this.#deadlineOfCurrent = new SharedDeadline(deadlineMs, (writes) => { this.#forget(writes) })
    // For a batch of writes lmdb-js may make a promise that nobody else sees. Its rejection would end the process.
    env.on('beforecommit', () => { queueMicrotask(() => { env.committed.then(ignore, ignore) }) })
  }

  /**
   * Runs `action`, which must be synchronous, in a transaction.
   *
   * @param isDurable whether to return after the flush to disk, and not at the commit
   * @throws StoreUnavailableError, or an error of hatcheck that `action` throws.
   */
  write<T> (doing: string, isDurable: boolean, action: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const write: Write<T> = { doing, isDurable, action, resolve, reject }
      this.#waiting.push(write)
      this.#deadline.add(write)
      this.#next()
    })
  }

  /** Waits for the flush of all commits. The environment can be closed afterwards. */
  async flush (): Promise<void> {
    await guarded('flush', () => within(this.#deadlineMs, Promise.all(this.#flushes), this.#lateText))
    // Closing waits for the flush of the last transaction, which never comes after a failure.
    await this.write('flush', true, ignore)
  }

  /** Begins a transaction with every write that waits, unless one is under way. */
  #next (): void {
    if (this.#current !== null || this.#waiting.length === 0) return
    const writes: Write[] = []
    this.#current = writes
    this.#deadlineOfCurrent.add(writes)
    this.#transaction(writes).then(() => { if (this.#current === writes) this.#end(writes) })
  }

  /** Forgets a transaction that LMDB has not answered in time, so that it holds up no later one. */
  #forget (writes: Write[]): void {
    callbackRuns(writes)
    this.#end(writes)
  }

  async #transaction (writes: Write[]): Promise<void> {
    try {
      callbackAwaited(writes)
      const committing = this.#env.transaction(() => {
        callbackRuns(writes)
        this.#run(writes)
      })
      // Taken at once: later it might belong to a later transaction, and if that fails, it never settles.
      const flushing = this.#env.flushed.then(ignore, ignore)
      await committing
      this.#flushes.add(flushing)
      flushing.then(() => {
        this.#flushes.delete(flushing)
        for (const write of writes) if (write.isDurable) this.#settle(write)
      })
      for (const write of writes) if (!write.isDurable) this.#settle(write)
    } catch (error) {
      callbackRuns(writes)
      const reason = await reasonOf(error)
      // Without its callback, the transaction has not taken them.
      for (const write of writes.length > 0 ? writes : this.#waiting.splice(0)) this.#fail(write, reason)
    }
  }

  /** Runs writes that wait, within their transaction, as long as that may hold the event loop. */
  #run (writes: Write[]): void {
    const until = performance.now() + SLICE_MS
    let taken = 0
    for (const write of this.#waiting) {
      taken++
      writes.push(write)
      try {
        write.result = write.action()
      } catch (error) {
        write.error = error
      }
      if (performance.now() >= until) break
    }
    this.#waiting = this.#waiting.slice(taken)
  }

  #end (writes: Write[]): void {
    this.#deadlineOfCurrent.remove(writes)
    this.#current = null
    this.#next()
  }

  #settle (write: Write): void {
    this.#deadline.remove(write)
    if (write.error === undefined) write.resolve(write.result)
    else write.reject(storeUnavailable(write.error, write.doing))
  }

  #fail (write: Write, reason: unknown): void {
    this.#deadline.remove(write)
    write.reject(storeUnavailable(reason, write.doing))
  }

  #giveUp (write: Write): void {
    this.#fail(write, new DeadlineError(this.#lateText))
    const at = this.#waiting.indexOf(write)
    if (at !== -1) this.#waiting.splice(at, 1)
  }

  get #lateText (): string {
    return `not written within ${this.#deadlineMs} ms`
  }
}

/** Returns why a commit failed. lmdb tells it in a promise beside the error, which may settle a moment later, or never. */
async function reasonOf (error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<never> }
  if (commitError === undefined) return error
  return await Promise.race([commitError.catch((reason: unknown) => reason), setImmediate(error)])
}

function ignore (): void {}
