import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { DUTIES_VARIABLE, type Duty } from './duties.js'
import { isSessionRefused, requestFrom, respondTo } from './ipc.js'
import { MetricsOfWorkers } from './metrics-of-workers.js'

/** A worker that ends within this time of its start counts as failed, in ms. A later end resets the count of failures. */
const STEADY_MS = 60_000
/** The wait before the second replacement in a row, in ms; it doubles each time. The first replacement starts at once. */
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 30_000
/** How long a worker may take to tell which sessions it refuses, in ms. A worker that starts waits for that. */
const REFUSED_WAIT_MS = 500

interface WorkerPool {
  /** Resolves when every worker listens or has failed to start. */
  all (): Promise<void>
  /** Sends a signal to every worker that listens. A worker that does not listen yet has no handler, and the signal would kill it. */
  signal (signal: NodeJS.Signals): void
  /** Renders the metrics of all workers in the text format of Prometheus. */
  metrics (): Promise<string>
  /** Lets every worker answer the requests under way, and waits until all have ended. */
  stop (): Promise<void>
  /** Ends every worker at once. */
  kill (): void
}

interface WorkerPoolOptions {
  count: number
  /** Called with each line that a worker writes to its log, with its line break. */
  onLine (line: string): void
  /** Called when a worker has ended unexpectedly and will be replaced. `how` is the signal or the exit code. */
  onEnd (pid: number | undefined, how: NodeJS.Signals | number): void
  /** Called when the system fails an operation on a worker. */
  onError (error: Error): void
}

/**
 * Starts `count` processes of this program, which all serve at one address, and replaces those that end. This process serves no
 * requests and opens no store; when it ends, the workers end.
 *
 * @returns null if the first worker could not start. It has logged the reason.
 */
export async function startWorkers ({ count, onLine, onEnd, onError }: WorkerPoolOptions): Promise<WorkerPool | null> {
  // Each worker accepts connections itself. With Node's default, this process would hand them out in turn, and a connection on
  // its way to a worker that is killed would hang forever.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  // Workers write their log through this process. If they inherited its output, Node would make it blocking whenever a worker
  // starts, and a full pipe would stop them all.
  cluster.setupPrimary({ stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  const listening = new Set<Worker>()
  const waiting = new Set<NodeJS.Timeout>()
  let isUp = false
  let isStopping = false
  const metrics = new MetricsOfWorkers()
  const metricsText = async (): Promise<string> => await metrics.text(listening)

  /** @param deaths the failures in a row before this start */
  function start (duties: readonly Duty[], deaths = 0): Worker {
    const startedAt = performance.now()
    const worker = cluster.fork({ [DUTIES_VARIABLE]: duties.join() })
    const { stdout, stderr } = worker.process
    stdout?.setEncoding('utf8').on('data', lineSplitter(onLine))
    stderr?.on('data', (text: Buffer) => { process.stderr.write(text) })
    // Each question that it has not answered yet has a listener, and every worker that starts asks it.
    worker.setMaxListeners(0)
    worker.once('listening', () => { listening.add(worker) })
    respondTo(worker, 'metrics of all', metricsText)
    respondTo(worker, 'refused by the others', () => refusedBy([...listening].filter((other) => other !== worker)))
    worker.on('error', (error) => {
      onError(error)
      // No process was started, so no exit event follows.
      if (worker.process.pid === undefined) worker.emit('exit', 1, null)
    })
    worker.once('exit', (code: number, signal: NodeJS.Signals | null) => {
      listening.delete(worker)
      metrics.end(worker)
      if (!isUp || isStopping) return
      onEnd(worker.process.pid, signal ?? code)
      replace(duties.filter((duty) => duty !== 'announces'), performance.now() - startedAt > STEADY_MS ? 0 : deaths)
    })
    return worker
  }

  function replace (duties: readonly Duty[], deaths: number): void {
    const timer = setTimeout(() => {
      waiting.delete(timer)
      try {
        start(duties, deaths + 1)
      } catch (error) {
        // The system cannot start a process at the moment.
        onError(error as Error)
        replace(duties, deaths + 1)
      }
    }, waitAfter(deaths))
    waiting.add(timer)
  }

  cluster.on('message', (from, message) => {
    if (!isSessionRefused(message)) return
    // Even to those that start: one serves a moment before this process knows it.
    for (const worker of runningWorkers()) if (worker !== from && worker.isConnected()) worker.send(message, () => {})
  })

  // The first worker starts alone, so that an error that stops all of them is logged once.
  const first = start(['announces', 'sweeps'])
  isUp = await untilListening(first)
  if (!isUp) return null
  const others = Array.from({ length: count - 1 }, () => untilListening(start([])))

  return {
    async all () { await Promise.all(others) },
    metrics: metricsText,
    signal (signal) { for (const worker of listening) worker.process.kill(signal) },
    async stop () {
      isStopping = true
      for (const timer of waiting) clearTimeout(timer)
      await Promise.all(runningWorkers().map(async (worker) => {
        // `close` comes after the last line of its log, `exit` may come before.
        const ended = once(worker.process, 'close')
        worker.process.kill('SIGTERM')
        await ended
      }))
    },
    kill () { for (const worker of runningWorkers()) worker.process.kill('SIGKILL') }
  }
}

/** Lists the processes of the workers, whether they listen yet or not. */
function runningWorkers (): Worker[] {
  return Object.values(cluster.workers ?? {})
    .flatMap((worker) => worker === undefined || worker.process.pid === undefined || worker.isDead() ? [] : [worker])
}

/**
 * Returns how long to wait, in ms, before a worker that has ended is replaced.
 *
 * @param deaths the failures in a row before it
 */
export function waitAfter (deaths: number): number {
  return deaths === 0 ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (deaths - 1))
}

/** Returns the sessions that any of these workers refuses. */
async function refusedBy (workers: readonly Worker[]): Promise<string[]> {
  const keys = await Promise.all(workers.map((worker) => requestFrom(worker, 'refused', REFUSED_WAIT_MS).catch(() => [])))
  return [...new Set((keys as string[][]).flat())]
}

/** Splits a stream of text into lines. */
function lineSplitter (onLine: (line: string) => void): (part: string) => void {
  let begun = ''
  return (part) => {
    const lines = `${begun}${part}`.split('\n')
    begun = lines.pop() ?? ''
    for (const line of lines) onLine(`${line}\n`)
  }
}

/** Resolves to true once the worker listens, or to false if it ends before. */
function untilListening (worker: Worker): Promise<boolean> {
  return new Promise((resolve) => {
    worker.once('listening', () => { resolve(true) })
    worker.once('exit', () => { resolve(false) })
  })
}
