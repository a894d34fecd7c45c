import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import tap, { test, type Test } from 'tap'
import { RawClient } from '../../clients/raw-client.js'
import { isJson } from '../../inputs/is-json.js'
import { memoryOf } from '../../processes/process-memory.js'
import { startInto, type ServiceInto } from '../../processes/service-into.js'
import { workersOf } from '../../processes/service.js'
import { mountSmallDisk, needsMounting } from '../../programs/small-disk.js'
import { until } from '../../time/loop-clock.js'
import { endures } from './under-attack.js'

/*
 * The log cannot be written: its disk is full, or its reader is stuck or gone. A service that waits for it would freeze and
 * ignore SIGTERM; one that keeps every line would run out of memory.
 *
 *                                      version 0.1              now
 *   the most that one request writes   15 KB                    4 KB
 *   answers with a full disk or pipe   none, until it is free   all, /healthz within 100 ms
 *   memory with an unread pipe         grows without an end     a buffer of 4 MiB
 *   the end after SIGTERM              never                    at most 10 s
 */

tap.setTimeout(600_000)

/** Enough to fill a pipe and exceed the buffer of the log. Each request writes about 1 KB. */
const REQUESTS = { toBlock: 400, toLose: 6_000 }
/** Requests that are sent together, over each of several connections. */
const BATCH = 10
const CONNECTIONS = 4
/** The pause between two batches, during which /healthz is timed: it waits for the log and not for the other requests. */
const PAUSE_MS = 50
const STOP_MS = 10_000
/** The buffer takes 4 MiB; the rest is garbage from thousands of requests. */
const MORE_MEMORY_MIB = 150

const LONG_PATH = `/${'x'.repeat(500)}`

interface Place {
  what: string
  skip?: string | false
  workers?: number
  open (t: Test): {
    stdout: number | 'pipe'
    /** Makes the log unwritable, once the service runs. */
    block? (service: ServiceInto): void
    unblock? (): void
    /** Reads what has arrived. Without it, nothing can be read. */
    written? (): string
  }
}

const places: Place[] = [
  {
    what: 'a file on a full disk',
    ...needsMounting(),
    open (t) {
      const disk = mountSmallDisk(t, 32)
      const file = join(disk.folder, 'log')
      const stdout = openSync(file, 'a')
      t.teardown(() => { closeSync(stdout) })
      return { stdout, block () { disk.fill() }, unblock () { disk.free() }, written: () => readFileSync(file, 'utf8') }
    }
  },
  {
    what: 'a pipe that nobody reads',
    workers: 2,
    open (t) {
      const { writing, reading } = fifo(t)
      const parts: Buffer[] = []
      return { stdout: writing, written: () => { parts.push(...whatIsIn(reading)); return Buffer.concat(parts).toString() } }
    }
  },
  {
    what: 'a socket that nobody reads',
    open: () => ({ stdout: 'pipe', block ({ child }) { child.stdout?.pause() } })
  },
  {
    what: 'a socket whose reader is gone',
    open: () => ({ stdout: 'pipe', block ({ child }) { child.stdout?.destroy() } })
  }
]

for (const { what, skip = false, workers = 1, open } of places) {
  test(`WORKERS=${workers}, the log goes to ${what}: all requests are answered, memory is bounded, and SIGTERM ends the service`, { skip }, async (t) => {
    const { stdout, block, unblock, written } = open(t)
    const service = await startInto(t, t.testdir(), ['ignore', stdout, 'ignore'], { env: { WORKERS: String(workers) } })
    const pids = (): number[] => [service.child.pid ?? 0, ...workersOf(service)]
    if (workers > 1) await until('all of them run', () => written?.().includes(`workers: ${workers}`) === true)
    block?.(service)
    const before = pids().map(memoryOf)
    await endures(t, service, async () => { await flood(service.url, REQUESTS.toBlock, PAUSE_MS) })
    if (written !== undefined) await flood(service.url, REQUESTS.toLose)
    const grown = pids().map((pid, i) => memoryOf(pid) - (before[i] ?? 0))
    t.ok(grown.every((mebibytes) => mebibytes < MORE_MEMORY_MIB), `${grown.join(' and ')} MiB more`)

    if (workers > 1) {
      const [killed = 0] = workersOf(service)
      process.kill(killed, 'SIGKILL')
      await until('another worker takes its place', () => !workersOf(service).includes(killed) && workersOf(service).length === workers)
      await flood(service.url, REQUESTS.toBlock)
    }
    if (written !== undefined) {
      unblock?.()
      await until('the log has the number of lost lines', () => /"lines":\d+,"msg":"the log could not be written/.test(written()))
      const lines = written().trimEnd().split('\n')
      t.strictSame(lines.filter((line) => !isJson(line)), [], `${lines.length} lines, all of them whole`)
      t.ok(lines.every((line) => Buffer.byteLength(line) < 4_096))
    }
    const begun = performance.now()
    service.child.kill('SIGTERM')
    t.equal(await service.ended, 0)
    t.ok(performance.now() - begun < STOP_MS)
  })
}

/** The two ends of a pipe. Node gives a child a socket where it says "pipe". */
function fifo (t: Test): { writing: number, reading: number } {
  const path = join(t.testdir({ place: {} }), 'fifo')
  execFileSync('mkfifo', [path])
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return { writing: openSync(path, constants.O_WRONLY), reading }
}

function whatIsIn (pipe: number): Buffer[] {
  const parts: Buffer[] = []
  const part = Buffer.alloc(65_536)
  try {
    for (let bytes = readSync(pipe, part); bytes > 0; bytes = readSync(pipe, part)) parts.push(Buffer.from(part.subarray(0, bytes)))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
  }
  return parts
}

async function flood (url: string, requests: number, pauseMs = 0): Promise<void> {
  const batch = Array<Buffer>(BATCH).fill(Buffer.from(`GET ${LONG_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n`))
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    const client = new RawClient(Number(new URL(url).port))
    for (let left = requests / CONNECTIONS; left > 0; left -= BATCH) {
      await client.send(batch)
      if (pauseMs > 0) await pause(pauseMs)
    }
    client.close()
  }))
}
