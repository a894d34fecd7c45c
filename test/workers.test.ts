import type { Worker } from 'node:cluster'
import { EventEmitter } from 'node:events'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { test } from 'tap'
import { requestFrom, respondTo, type Channel } from '../plugins/workers/ipc.js'
import { MetricsOfWorkers } from '../plugins/workers/metrics-of-workers.js'
import { waitAfter } from '../plugins/workers/primary.js'
import { compiledFixture, run } from './processes/child.js'

/** More than any test takes. */
const LONG_MS = 600_000

/** Two ends of a connection. What one sends, the other gets at once, as a copy. */
function connection (): [End, End] {
  const [one, other] = [new End(), new End()]
  one.peer = other
  other.peer = one
  return [one, other]
}

class End extends EventEmitter implements Channel {
  peer: End | undefined
  error: Error | null = null

  send (message: object, done: (error: Error | null) => void): void {
    if (this.error === null) this.peer?.emit('message', JSON.parse(JSON.stringify(message)))
    done(this.error)
  }
}

test('each request between processes gets its own response, in any order, and leaves nothing behind', async (t) => {
  const [one, other] = connection()
  const answers: Array<(value: string) => void> = []
  const stop = respondTo(other, 'name', () => new Promise((resolve) => { answers.push(resolve) }))
  const [first, second] = [requestFrom(one, 'name', LONG_MS), requestFrom(one, 'name', LONG_MS)]
  answers[1]?.('of the second')
  answers[0]?.('of the first')
  t.strictSame(await Promise.all([first, second]), ['of the first', 'of the second'])
  stop()
  t.strictSame([one.listenerCount('message'), other.listenerCount('message')], [0, 0])
})

test('a request fails at once if it cannot be sent or the other process cannot respond, and in the end without a response', async (t) => {
  const [one, other] = connection()
  respondTo(other, 'broken', async () => { throw new Error('out of order') })
  await t.rejects(requestFrom(one, 'broken', LONG_MS), { message: 'no response to "broken"' })
  await t.rejects(requestFrom(one, 'unknown', 1), { message: 'no response to "unknown"' })
  one.error = new Error('the other end has gone')
  await t.rejects(requestFrom(one, 'broken', LONG_MS), { message: 'no response to "broken"' })
  t.equal(one.listenerCount('message'), 0)
})

/** A worker with metrics of its own. */
function measuredWorker () {
  const registry = new Registry()
  const registers = [registry]
  const requests = new Counter({ name: 'requests_total', help: 'h', registers })
  const durations = new Histogram({ name: 'duration_seconds', help: 'h', registers })
  const memory = new Gauge({ name: 'memory_bytes', help: 'h', registers })
  const [worker, far] = connection()
  const state = { isBusy: false, isDead: false }
  respondTo(far, 'metrics', async () => {
    if (state.isBusy) throw new Error('no time')
    return await registry.getMetricsAsJSON()
  })
  return {
    worker: Object.assign(worker, { isDead: () => state.isDead }) as unknown as Worker,
    state,
    serve (times: number) {
      requests.inc(times)
      for (let n = 0; n < times; n++) durations.observe(1)
      memory.set(10 * times)
    }
  }
}

test('the counts of workers that do not answer or have ended stay in the metrics, and their gauges end with them', async (t) => {
  const metrics = new MetricsOfWorkers()
  const [one, other, third] = [measuredWorker(), measuredWorker(), measuredWorker()]
  const seen = async (...asked: Array<typeof one>): Promise<Array<number | undefined>> => {
    const text = await metrics.text(asked.map(({ worker }) => worker))
    return ['requests_total', 'duration_seconds_count', 'memory_bytes'].map((name) => {
      const value = new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]
      return value === undefined ? value : Number(value)
    })
  }
  one.serve(3)
  other.serve(4)
  t.strictSame(await seen(one, other), [7, 7, 70])
  other.serve(1)
  other.state.isBusy = true
  t.strictSame(await seen(one, other), [7, 7, 70], 'one is too busy to answer')
  other.state.isBusy = false
  t.strictSame(await seen(one, other), [8, 8, 40])
  metrics.end(one.worker)
  t.strictSame(await seen(other), [8, 8, 10])
  metrics.end(other.worker)
  third.serve(2)
  const asked = seen(third)
  third.state.isDead = true
  metrics.end(third.worker)
  await asked
  t.strictSame(await seen(), [8, 8, undefined], 'an answer that comes after the end of its worker does not count')
})

test('a replacement waits no longer than half a minute', (t) => {
  t.strictSame([0, 1, 2, 3, 5, 6, 100].map(waitAfter), [0, 1_000, 2_000, 4_000, 16_000, 30_000, 30_000])
  t.end()
})

for (const [scenario, seen, title] of [
  ['lines', ['first\n', 300_001, 'last\n'], 'each line that a worker logs arrives whole, however long it is'],
  ['waits', [0, 1, 2, 0], 'a worker that has ended is replaced at once, and later and later if its replacements do not last'],
  ['failures', ['fork EAGAIN', 'spawn node ENOENT'], 'while the system cannot start a worker, that is reported, and a worker starts as soon as it can'],
  ['stop', 0, 'no worker starts once the service stops'],
  ['metrics', ['2', '2'], 'a worker that has ended is in the metrics no more'],
  ['hang', 8, 'a worker that hangs keeps no connection from the others']
] as const) {
  test(title, async (t) => {
    const { code, stdout, stderr } = await run(process.execPath, ['--no-warnings', compiledFixture('worker-pool'), scenario], t.testdir())
    t.strictSame([code, stderr], [0, ''])
    t.strictSame(JSON.parse(stdout), seen)
  })
}
