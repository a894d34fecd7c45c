import type { RootDatabase } from 'lmdb'
import { setImmediate } from 'node:timers/promises'
import { within } from '../../common/deadline.js'
import { storeUnavailable } from '../../store/errors.js'

/** How long a write may take, in ms. A write that fails by this may still be carried out. */
const DEADLINE_MS = 5_000

const writers = new WeakMap<RootDatabase, LmdbWriter>()

/** Writes to an LMDB environment. Each write succeeds or fails within a bounded time, also on a full disk. */
export class LmdbWriter {
  readonly #env: RootDatabase
  readonly #deadlineMs: number
  readonly #flushes = new Set<Promise<void>>()

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
    // For a batch of writes lmdb-js may make a promise that nobody else sees. Its rejection would end the process.
    env.on('beforecommit', () => { queueMicrotask(() => { env.committed.then(ignore, ignore) }) })
  }

  /**
   * Runs `action`, which must be synchronous, in a transaction.
   *
   * @param durable whether to return after the flush to disk, and not at the commit
   * @throws StoreUnavailableError, or an error of hatcheck that `action` throws.
   */
  async write<T> (doing: string, durable: boolean, action: () => T): Promise<T> {
    try {
      return await this.#inTime(this.#transaction(durable, action))
    } catch (error) {
      throw storeUnavailable(await reasonOf(error), doing)
    }
  }

  /** Waits for the flush of all commits. The environment can be closed afterwards. */
  async flush (): Promise<void> {
    try {
      await this.#inTime(Promise.all(this.#flushes))
    } catch (error) {
      throw storeUnavailable(error, 'flush')
    }
    // Closing waits for the flush of the last transaction, which never comes after a failure.
    await this.write('flush', true, ignore)
  }

  async #transaction<T> (durable: boolean, action: () => T): Promise<T> {
    const committing = this.#env.transaction(action)
    // Taken at once: later it might belong to a later transaction, and if that fails, it never settles.
    const flushing = this.#env.flushed.then(ignore, ignore)
    const result = await committing
    this.#flushes.add(flushing)
    const flushed = flushing.then(() => { this.#flushes.delete(flushing) })
    if (durable) await flushed
    return result
  }

  async #inTime<T> (work: Promise<T>): Promise<T> {
    return await within(this.#deadlineMs, work, `not written within ${this.#deadlineMs} ms`)
  }
}

/** Returns why a commit failed. lmdb tells it in a promise beside the error, which may settle a moment later, or never. */
async function reasonOf (error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<never> }
  if (commitError === undefined) return error
  return await Promise.race([commitError.catch((reason: unknown) => reason), setImmediate(error)])
}

function ignore (): void {}
