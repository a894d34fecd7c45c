import { constants, fstatSync, openSync, write } from 'node:fs'
import { isatty } from 'node:tty'
import { boundedLine } from './bounded-line.js'

/** The lines that wait to be written take at most this much memory: a second of a busy service, or an hour of a quiet one. */
const MOST_WAITING_BYTES = 4 * 1_024 * 1_024
/**
 * Several processes may write to one pipe. A write up to this length arrives in one piece (PIPE_BUF of Linux), so no line is longer,
 * and lines are written together only up to it.
 */
const LONGEST_WRITE = 4_096
/** How often a destination that takes nothing is tried again. */
const RETRY_MS = 250
/** A write that takes longer than this is stuck. */
const STUCK_MS = 500
/** How often `flush` looks whether everything is written. */
const LOOK_MS = 10

/** A way to write to one place. */
interface Writer {
  write (chunk: Buffer, done: (error: Error | null, written: number) => void): void
  /** Whether a write that hangs holds a thread, for which the end of the process would wait. */
  readonly holdsThread: boolean
}

export interface LogDestinationOptions {
  /** Formats a line, as for a terminal. By default the line is written as it is. */
  format?: (line: string) => string
  /** Called with the number of lost lines, once lines are written again. */
  onLost?: (lines: number) => void
}

/**
 * Writes the log to standard output, of whatever kind that is, and blocks nothing. While the disk is full, or nobody reads the
 * pipe, lines wait in a bounded buffer; those for which there is no room are dropped and counted.
 */
export class LogDestination {
  readonly #writer: Writer
  readonly #format: (line: string) => string
  readonly #onLost: (lines: number) => void
  /** Each has one or more lines, together not longer than one write. */
  readonly #chunks: string[] = []
  #lastChunkBytes = 0
  #waitingBytes = 0
  #current: Buffer | null = null
  #isWriting = false
  /** When the write under way began. */
  #calledAt: number | null = null
  #lost = 0

  constructor ({ format = (line) => line, onLost = () => {} }: LogDestinationOptions = {}, writer: Writer = writerTo(1)) {
    this.#format = format
    this.#onLost = onLost
    this.#writer = writer
  }

  /** Never throws and never blocks. */
  write (line: string): void {
    const text = this.#format(boundedLine(line, LONGEST_WRITE))
    const bytes = Buffer.byteLength(text)
    if (this.#waitingBytes + bytes > MOST_WAITING_BYTES) {
      this.#lost++
      return
    }
    this.#waitingBytes += bytes
    const last = this.#chunks.length - 1
    if (last >= 0 && this.#lastChunkBytes + bytes <= LONGEST_WRITE) {
      this.#chunks[last] += text
      this.#lastChunkBytes += bytes
    } else {
      this.#chunks.push(text)
      this.#lastChunkBytes = bytes
    }
    if (!this.#isWriting) this.#next()
  }

  /** Resolves when everything is written, or after this time. */
  async flush (waitMs: number): Promise<void> {
    const endsAt = performance.now() + waitMs
    while (this.#isWriting && performance.now() < endsAt) await new Promise((resolve) => { setTimeout(resolve, LOOK_MS) })
  }

  /** Whether a write hangs that would keep the process from ending. */
  isStuck (): boolean {
    return this.#writer.holdsThread && this.#calledAt !== null && performance.now() - this.#calledAt > STUCK_MS
  }

  #next (): void {
    const chunk = this.#current ??= this.#take()
    this.#isWriting = chunk !== null
    if (chunk === null) return
    this.#calledAt = performance.now()
    this.#writer.write(chunk, (error, written) => {
      this.#calledAt = null
      if (error !== null) {
        setTimeout(() => { this.#next() }, RETRY_MS).unref()
        return
      }
      this.#waitingBytes -= written
      this.#current = written < chunk.length ? chunk.subarray(written) : null
      this.#tellLost()
      this.#next()
    })
  }

  #take (): Buffer | null {
    const text = this.#chunks.shift()
    return text === undefined ? null : Buffer.from(text)
  }

  /** Not while there is hardly any room: behind a slow reader, every few lines would be one about losses. */
  #tellLost (): void {
    if (this.#lost === 0 || this.#waitingBytes > MOST_WAITING_BYTES / 2) return
    const lost = this.#lost
    this.#lost = 0
    this.#onLost(lost)
  }
}

/** Makes a writer for a file descriptor that never blocks the event loop. */
function writerTo (fd: number): Writer {
  const stats = fstatSync(fd)
  if (stats.isFIFO() || stats.isSocket()) return writerToStdout()
  const target = isatty(fd) ? unblocked(fd) : fd
  // In another thread: a disk that hangs holds up only that one.
  return { write (chunk, done) { write(target, chunk, 0, chunk.length, null, done) }, holdsThread: true }
}

/** Node writes at once as much as the pipe takes, and the rest later from the event loop. */
function writerToStdout (): Writer {
  // Without a listener, a reader that is gone would end the process. The callback gets the error as well.
  process.stdout.on('error', () => {})
  return { write (chunk, done) { process.stdout.write(chunk, (error) => { done(error ?? null, chunk.length) }) }, holdsThread: false }
}

/** Opens a terminal once more without blocking: one that is stopped (Ctrl-S) would hold a thread. */
function unblocked (fd: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return fd
  }
}
