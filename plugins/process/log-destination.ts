import { constants, fstatSync, openSync, write } from 'node:fs'
import { isatty } from 'node:tty'
import { boundedLine } from './bounded-line.js'
import { escapeControls } from './escape-controls.js'

/** The most memory that waiting lines may take: enough for a second of a busy service or an hour of a quiet one. */
const MOST_WAITING_BYTES = 4 * 1_024 * 1_024
/**
 * Several processes may write to one pipe. A write of at most this length arrives in one piece (PIPE_BUF of Linux), so neither a
 * line nor a group of lines is longer.
 */
const LONGEST_WRITE = 4_096
/** The wait before a failed write is repeated. */
const RETRY_MS = 250
/** A write that takes longer than this is stuck. */
const STUCK_MS = 500
/** The interval at which `flush` checks whether everything is written. */
const POLL_MS = 10

/** A way to write to one place. */
interface Writer {
  write (chunk: Buffer, done: (error: Error | null, written: number) => void): void
  /** Whether a write that hangs blocks a thread. Node waits for its threads when the process ends. */
  readonly holdsThread: boolean
}

interface LogDestinationOptions {
  /** Formats a line, as for a terminal. By default the line is written as it is. */
  format?: (line: string) => string
  /** Called with the number of lost lines, once lines are written again. */
  onLost?: (lines: number) => void
}

/**
 * Writes the log to standard output (a file, a pipe or a terminal) without blocking. While the disk is full or nobody reads the
 * pipe, lines wait in a bounded buffer; lines that do not fit are dropped and counted.
 */
export class LogDestination {
  readonly #writer: Writer
  readonly #format: (line: string) => string
  readonly #onLost: (lines: number) => void
  /** Chunks of whole lines, each short enough for one write. */
  readonly #chunks: string[] = []
  #lastChunkBytes = 0
  #waitingBytes = 0
  #current: Buffer | null = null
  #isWriting = false
  /** The start of the write under way. */
  #calledAt: number | null = null
  #lost = 0

  constructor ({ format = (line) => line, onLost = () => {} }: LogDestinationOptions = {}, writer: Writer = writerTo(1)) {
    this.#format = format
    this.#onLost = onLost
    this.#writer = writer
  }

  /** Writes a line. Never throws and never blocks. */
  write (line: string): void {
    // The format for a terminal may bring back what the JSON has escaped.
    const text = escapeControls(this.#format(boundedLine(line, LONGEST_WRITE)))
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

  /** Resolves when everything is written, or after `waitMs`. */
  async flush (waitMs: number): Promise<void> {
    const endsAt = performance.now() + waitMs
    while (this.#isWriting && performance.now() < endsAt) await new Promise((resolve) => { setTimeout(resolve, POLL_MS) })
  }

  /** Tells whether a write hangs that would keep the process from ending. */
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

  /** Reports lost lines once half of the buffer is free: behind a slow reader, the reports would otherwise displace other lines. */
  #tellLost (): void {
    if (this.#lost === 0 || this.#waitingBytes > MOST_WAITING_BYTES / 2) return
    const lost = this.#lost
    this.#lost = 0
    this.#onLost(lost)
  }
}

/** Returns a writer for a file descriptor that never blocks the event loop. */
function writerTo (fd: number): Writer {
  // As BigInt, which Node keeps apart. Of the other calls it remembers the last type of file, and Node 22 follows no symbolic link
  // to a package if that was a pipe.
  const stats = fstatSync(fd, { bigint: true })
  if (stats.isFIFO() || stats.isSocket()) return writerToStdout()
  const target = isatty(fd) ? unblocked(fd) : fd
  // Writes in a thread of libuv: a disk that hangs blocks only that thread.
  return { write (chunk, done) { write(target, chunk, 0, chunk.length, null, done) }, holdsThread: true }
}

/** Returns a writer for a pipe or a socket: Node writes what fits at once, and the rest later from the event loop. */
function writerToStdout (): Writer {
  // Without a listener, a closed pipe would end the process. The callback gets the error as well.
  process.stdout.on('error', () => {})
  return { write (chunk, done) { process.stdout.write(chunk, (error) => { done(error ?? null, chunk.length) }) }, holdsThread: false }
}

/** Opens the terminal again in non-blocking mode: a stopped terminal (Ctrl-S) would block a thread. */
function unblocked (fd: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return fd
  }
}
