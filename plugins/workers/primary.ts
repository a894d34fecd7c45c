import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { DUTIES_VARIABLE, isRefusal, type Duty } from './duties.js'
import { MetricsOfWorkers } from './metrics-of-workers.js'
import { answer } from './questions.js'

/** A worker that ends sooner after its start was no good, in ms; one that ends later starts the count anew. */
const STEADY_MS = 60_000
/** Before the second replacement in a row, in ms; then twice as long each time. The first comes at once. */
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 30_000

export interface Workers {
  /** Comes back when each has been started, after the first. */
  all (): Promise<void>
  /** Sends a signal to every worker that listens. One that does not, yet, would die of it. */
  signal (signal: NodeJS.Signals): void
  /** Those of all workers together, in the text format of Prometheus. */
  metrics (): Promise<string>
  /** Lets every worker answer what is under way, and waits for their end. */
  stop (): Promise<void>
  /** Ends every worker at once. */
  kill (): void
}

export interface WorkersOptions {
  count: number
  /** A line that a worker has written to its log, with its line break. */
  onLine (line: string): void
  /** A worker has ended that was not to; another one takes its place. `how` is the signal or the exit code. */
  onEnd (pid: number | undefined, how: NodeJS.Signals | number): void
  /** The system could not do something for a worker. */
  onError (error: Error): void
}

/**
 * Starts as many processes of this program as are wanted, each of which serves, and replaces those that end. They listen
 * at one address. This process serves nothing itself, and opens no store; its end is theirs.
 *
 * Null if the first one could not start: it has said why.
 */
export async function startWorkers ({ count, onLine, onEnd, onError }: WorkersOptions): Promise<Workers | null> {
  // Each takes connections from the queue of the system. In turns (Node's default) they would be handed out here, and one
  // that was on its way to a worker when that is killed would hang for ever.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  // Workers write through this process. If they inherited its output, Node would make that blocking for all of them whenever one
  // starts, and a full pipe would stop them.
  cluster.setupPrimary({ stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  const listening = new Set<Worker>()
  const waiting = new Set<NodeJS.Timeout>()
  let isUp = false
  let isStopping = false
  const metrics = new MetricsOfWorkers()
  const metricsText = async (): Promise<string> => await metrics.text(listening)

  /** @param deaths in a row of those whose place it takes. */
  function start (duties: readonly Duty[], deaths = 0): Worker {
    const startedAt = performance.now()
    const worker = cluster.fork({ [DUTIES_VARIABLE]: duties.join() })
    const { stdout, stderr } = worker.process
    stdout?.setEncoding('utf8').on('data', lineSplitter(onLine))
    stderr?.on('data', (text: Buffer) => { process.stderr.write(text) })
    worker.once('listening', () => { listening.add(worker) })
    answer(worker, 'metrics of all', metricsText)
    worker.on('error', (error) => {
      onError(error)
      // There never was a process, so no other event will tell.
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
    if (!isRefusal(message)) return
    for (const worker of listening) if (worker !== from && worker.isConnected()) worker.send(message)
  })

  const living = (): Worker[] => Object.values(cluster.workers ?? {})
    .flatMap((worker) => worker === undefined || worker.process.pid === undefined || worker.isDead() ? [] : [worker])

  // Alone, so that what keeps all from starting is said once.
  const first = start(['announces', 'sweeps'])
  isUp = await listens(first)
  if (!isUp) return null
  const others = Array.from({ length: count - 1 }, () => listens(start([])))

  return {
    async all () { await Promise.all(others) },
    metrics: metricsText,
    signal (signal) { for (const worker of listening) worker.process.kill(signal) },
    async stop () {
      isStopping = true
      for (const timer of waiting) clearTimeout(timer)
      await Promise.all(living().map(async (worker) => {
        // After the last of its lines.
        const ended = once(worker.process, 'close')
        worker.process.kill('SIGTERM')
        await ended
      }))
    },
    kill () { for (const worker of living()) worker.process.kill('SIGKILL') }
  }
}

/**
 * How long to wait, in ms, before another worker takes the place of one that has ended.
 *
 * @param deaths in a row of those before it
 */
export function waitAfter (deaths: number): number {
  return deaths === 0 ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (deaths - 1))
}

/** Takes parts of a text, and hands on each line once it is whole. */
function lineSplitter (onLine: (line: string) => void): (part: string) => void {
  let begun = ''
  return (part) => {
    const lines = `${begun}${part}`.split('\n')
    begun = lines.pop() ?? ''
    for (const line of lines) onLine(`${line}\n`)
  }
}

/** Whether it comes as far as that. */
function listens (worker: Worker): Promise<boolean> {
  return new Promise((resolve) => {
    worker.once('listening', () => { resolve(true) })
    worker.once('exit', () => { resolve(false) })
  })
}
