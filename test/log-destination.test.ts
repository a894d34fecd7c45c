import { mock } from 'node:test'
import { test } from 'tap'
import { boundedLine } from '../plugins/process/bounded-line.js'
import { LogDestination } from '../plugins/process/log-destination.js'

type Done = (error: Error | null, written: number) => void

/** A destination whose writes the test completes. */
function gated (options: ConstructorParameters<typeof LogDestination>[0] = {}) {
  const writes: Array<{ text: string, done: Done }> = []
  const destination = new LogDestination(options, { holdsThread: true, write (chunk, done) { writes.push({ text: String(chunk), done }) } })
  return { destination, writes }
}

test('lines that arrive during a write are written after it, together and in order', async (t) => {
  const { destination, writes } = gated()
  for (const line of ['first\n', 'second\n', 'third\n']) destination.write(line)
  t.strictSame(writes.map(({ text }) => text), ['first\n'])
  writes[0]?.done(null, 6)
  t.strictSame(writes.map(({ text }) => text), ['first\n', 'second\nthird\n'])
  writes[1]?.done(null, 7)
  t.equal(writes[2]?.text, 'third\n', 'the rest of a partial write')
  writes[2]?.done(null, 6)
  t.equal(writes.length, 3)
  await destination.flush(60_000)
})

test('no write is longer than a pipe accepts in one piece', async (t) => {
  const { destination, writes } = gated()
  const line = `${'x'.repeat(999)}\n`
  for (let i = 0; i < 20; i++) destination.write(line)
  for (let i = 0; i < writes.length; i++) writes[i]?.done(null, writes[i]?.text.length ?? 0)
  t.strictSame(writes.map(({ text }) => text.length), [1_000, 4_000, 4_000, 4_000, 4_000, 3_000])
  const { destination: full, writes: begun } = gated()
  for (const length of [1, 2_048, 2_048, 2_048, 2_049]) full.write(`${'x'.repeat(length - 1)}\n`)
  for (let i = 0; i < begun.length; i++) begun[i]?.done(null, begun[i]?.text.length ?? 0)
  t.strictSame(begun.map(({ text }) => text.length), [1, 4_096, 2_048, 2_049])
})

test('the buffer is bounded; lines without room are counted and the count is logged later', async (t) => {
  const lost: number[] = []
  const { destination, writes } = gated({ onLost: (lines) => { lost.push(lines) } })
  const line = `${'x'.repeat(1_023)}\n`
  for (let i = 0; i < 5_000; i++) destination.write(line)
  t.strictSame(lost, [])
  for (let i = 0; i < writes.length; i++) writes[i]?.done(null, writes[i]?.text.length ?? 0)
  const written = writes.map(({ text }) => text).join('').length / line.length
  t.equal(written, 4_096, '4 MiB of lines')
  t.strictSame(lost, [5_000 - 4_096], 'logged once')
})

test('the rest of a partial write still takes its room in the buffer', (t) => {
  const lost: number[] = []
  const { destination, writes } = gated({ onLost: (lines) => { lost.push(lines) } })
  const line = `${'x'.repeat(1_023)}\n`
  for (let i = 0; i < 4_096; i++) destination.write(line)
  writes[0]?.done(null, 512)
  destination.write(line.replaceAll('x', 'y'))
  writes[1]?.done(null, 512)
  destination.write(line.replaceAll('x', 'z'))
  for (let i = 2; i < writes.length; i++) writes[i]?.done(null, writes[i]?.text.length ?? 0)
  t.strictSame(lost, [1])
  t.strictSame([...new Set(writes.map(({ text }) => text).join(''))], ['x', '\n', 'z'], 'the room of half a line is not enough for a whole one')
  t.end()
})

test('lost lines are reported once half of the buffer is free', (t) => {
  let written = 0
  let reportedAt = 0
  const { destination, writes } = gated({ onLost: () => { reportedAt = written } })
  const line = `${'x'.repeat(1_023)}\n`
  for (let i = 0; i < 5_000; i++) destination.write(line)
  for (let i = 0; i < writes.length; i++) {
    written += writes[i]?.text.length ?? 0
    writes[i]?.done(null, writes[i]?.text.length ?? 0)
  }
  t.equal(reportedAt >= 2_048 * line.length && reportedAt < 2_056 * line.length, true, String(reportedAt))
  t.end()
})

test('a write that fails is retried from where the last one ended', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const { destination, writes } = gated()
  destination.write('a line\n')
  writes[0]?.done(null, 2)
  writes[1]?.done(new Error('ENOSPC'), 0)
  t.equal(writes.length, 2, 'not at once')
  mock.timers.tick(1_000)
  t.equal(writes[2]?.text, 'line\n')
  writes[2]?.done(null, 5)
  t.equal(writes.length, 3)
})

test('a write that hangs is reported, and does not delay a flush', async (t) => {
  const { destination, writes } = gated()
  destination.write('a line\n')
  t.notOk(destination.isStuck())
  await destination.flush(600)
  t.ok(destination.isStuck())
  writes[0]?.done(new Error('EIO'), 0)
  t.notOk(destination.isStuck(), 'a failed write occupies no thread')
})

test('control characters that JSON leaves in its strings are escaped, also for a terminal', async (t) => {
  const user = 'a\u007fb\u0085c\u009b31md\u2028e\u2029f é 密码 \u{1F600}'
  const line = `${JSON.stringify({ msg: 'm', user })}\n`
  for (const format of [(text: string) => text, (text: string) => `\u001b[1m${(JSON.parse(text) as { user: string }).user}\u001b[0m\n`]) {
    const { destination, writes } = gated({ format })
    destination.write(line)
    t.match(writes[0]?.text, /a\\u007fb\\u0085c\\u009b31md\\u2028e\\u2029f é 密码 \u{1F600}/u)
  }
  t.equal((JSON.parse(boundedLine(line, 4_096)) as { user: string }).user, user, 'a program reads what was sent')
})

test('a line that is too long is cut, and is still valid JSON', async (t) => {
  const short = '{"level":30,"msg":"short"}\n'
  t.equal(boundedLine(short, 4_096), short)
  const base = { level: 30, time: '2026-01-31T12:00:00.000Z', pid: 1, hostname: 'a', reqId: 'req-1', msg: 'm' }
  const long: Array<[what: string, line: object]> = [
    ['one string', { ...base, req: { url: `/${'x'.repeat(16_000)}` } }],
    ['a string of characters that JSON escapes', { ...base, user: '\u0000'.repeat(16_000) }],
    ['a string of characters of four bytes', { ...base, user: '\u{1F600}'.repeat(16_000) }],
    ['a string of characters that only the log escapes', { ...base, user: '\u009b'.repeat(1_000) }],
    ['few characters of many bytes', { ...base, user: '\u{1F600}'.repeat(1_500) }],
    ['many strings', { ...base, list: Array.from({ length: 50 }, () => 'y'.repeat(900)) }],
    ['many fields', { ...base, list: Array.from({ length: 5_000 }, (_, i) => i) }],
    ['a long message', { ...base, msg: 'z'.repeat(100_000), list: Array.from({ length: 5_000 }, (_, i) => i) }]
  ]
  for (const [what, record] of long) {
    const { destination, writes } = gated()
    destination.write(`${JSON.stringify(record)}\n`)
    const line = writes[0]?.text ?? ''
    t.ok(Buffer.byteLength(line) <= 4_096, `${what}: ${Buffer.byteLength(line)} bytes`)
    t.ok(line.endsWith('\n'))
    t.match(JSON.parse(line), { level: 30, time: base.time, pid: 1, reqId: 'req-1', msg: /^[mz]/ }, what)
  }
  t.match(boundedLine('no JSON '.repeat(1_000), 4_096), /^\{"msg":"no JSON /)
})
