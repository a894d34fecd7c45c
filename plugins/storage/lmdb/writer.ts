import type { RootDatabase } from 'lmdb'
import { setImmediate } from 'node:timers/promises'
import { within } from '../../common/deadline.js'
import { storeUnavailable } from '../../store/errors.js'

/** A write that is not done by then has failed, in ms. What it was to write may still be written. */
const DEADLINE_MS = 5_000

const writers = new WeakMap<RootDatabase, LmdbWriter>()

/** Writes to an LMDB environment, each of which succeeds or fails within a bounded time, also on a full disk. */
export class LmdbWriter {
  readonly #env: RootDatabase
  readonly #deadlineMs: number
  readonly #flushes = new Set<Promise<void>>()

  /** The one writer of an environment. */
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
    // For a batch of writes lmdb-js may make a promise that nobody else sees: if it is rejected, the process would end.
    env.on('beforecommit', () => { queueMicrotask(() => { env.committed.then(ignore, ignore) }) })
  }

  /**
   * Runs `action` in a transaction. It must not wait for anything.
   *
   * @param durable whether the answer comes after the flush to disk; else it comes at the commit.
   * @throws StoreUnavailableError, or what `action` throws if that is an error of hatcheck.
   */
  async write<T> (doing: string, durable: boolean, action: () => T): Promise<T> {
    try {
      return await this.#inTime(this.#transaction(durable, action))
    } catch (error) {
      throw storeUnavailable(await reasonOf(error), doing)
    }
  }

  /** Waits for the flush of everything that is committed, and leaves the environment so that it can be closed. */
  async flush (): Promise<void> {
    try {
      await this.#inTime(Promise.all(this.#flushes))
    } catch (error) {
      throw storeUnavailable(error, 'flush')
    }
    // Closing waits for the flush of the last transaction, and after a failure that never comes.
    await this.write('flush', true, ignore)
  }

  async #transaction<T> (durable: boolean, action: () => T): Promise<T> {
    const committing = this.#env.transaction(action)
    // Asked for at once: later it might be the flush of a later transaction, and if that fails, it is never settled.
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

/** Why a commit failed is told by a promise beside the error, which may come a moment later, or not at all. */
async function reasonOf (error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<never> }
  if (commitError === undefined) return error
  return await Promise.race([commitError.catch((reason: unknown) => reason), setImmediate(error)])
}

function ignore (): void {}
