// Runs test files, several in parallel, each as a plain Node process, and shows what failed.
//
//   npm test                       the files of test/, without those of test/long/
//   npm test -- session verify     these files, or those that have one of these words in their names, also of test/long/
//   npm run test:long              test/long/, the soak and the torture
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkout } from './processes/child.js'

/** The soak comes first: it takes three minutes and little of the processor. */
const PROGRAMS: readonly Job[] = [
  job('soak', ['build/test/soak/index.js', '--minutes', '3', '--rate', '30']),
  job('torture, 200 rounds', ['build/test/torture/index.js', '200', '--seconds', '600'])
]
/** The slowest files: begun last, each would run alone at the end. */
const FIRST = ['long/model', 'long/package', 'long/browser', 'long/other-plugin-types', 'long/examples', 'long/adopt-crowd', 'long/calls', 'long/deployment', 'session', 'audit', 'config', 'environment', 'doctor', 'process', 'readme']

interface Job {
  name: string
  /** The arguments of node. */
  command: readonly string[]
}

interface Result {
  name: string
  seconds: number
  pass: number
  fail: number
  skips: string[]
  /** The titles of what failed. */
  failures: string[]
  /** The output to show if the file failed. */
  report: string
}

/** The space for new objects is larger than Node makes it, since tests make many and keep few: it saves a tenth of the time. */
const NODE_OPTIONS = ['--enable-source-maps', '--max-semi-space-size=32', '--import', './build/test/lean-tap.js']

const SHOWN_OF_ERRORS = 4_000
/** Of a title at the end of the run: some have the input with which a property failed. */
const SHOWN_OF_TITLE = 500
const SHOWN_OF_SLOWEST = 10

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { long: { type: 'boolean', default: false }, jobs: { type: 'string' } }
})
const isLong = values.long
/** More than there are cores: many tests wait for something, and the soak, which is among the long ones, does little else. */
const jobs = Number(values.jobs ?? Math.min(availableParallelism(), 8) + (isLong ? 2 : 1))
const FILE_SECONDS = 840
const mustRunAll = process.env['HATCHECK_TEST_ALL'] === '1'
const env: NodeJS.ProcessEnv = { ...process.env, TAP_TIMEOUT: String(FILE_SECONDS), NO_COLOR: '1' }
delete env['FORCE_COLOR']

const running = new Set<number>()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const pid of running) killGroup(pid)
    process.exit(1)
  })
}

const begun = performance.now()
const queue = jobsOf()
if (queue.length === 0) throw new Error(`no test file has a name with ${positionals.join(' or ')}`)
const results: Result[] = []
await Promise.all(Array.from({ length: jobs }, work))
summarize()

async function work (): Promise<void> {
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
    const result = await runJob(job)
    results.push(result)
    const { name, seconds, pass, fail, skips, report } = result
    const counts = [`${pass} passed`, ...fail > 0 ? [`${fail} failed`] : [], ...skips.length > 0 ? [`${skips.length} skipped`] : []].join(', ')
    process.stdout.write(`${fail > 0 ? 'not ok' : 'ok'} - ${name} (${counts}, ${seconds.toFixed(1)} s)\n${report}`)
  }
}

function jobsOf (): Job[] {
  const files = readdirSync(join(checkout, 'test'), { recursive: true }).map(String)
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => file.slice(0, -'.test.ts'.length))
    .sort((a, b) => rankOf(a) - rankOf(b) || a.localeCompare(b))
  const words = positionals.map((word) => word.replace(/^test\/|\.test\.[tj]s$/g, ''))
  if (words.length > 0) {
    const named = files.filter((file) => words.includes(file))
    return (named.length === words.length ? named : files.filter((file) => words.some((word) => file.includes(word)))).map(ofFile)
  }
  return [...isLong ? PROGRAMS : [], ...files.filter((file) => file.startsWith('long/') === isLong).map(ofFile)]
}

function ofFile (file: string): Job {
  return job(file, [...NODE_OPTIONS, join('build/test', `${file}.test.js`)])
}

function job (name: string, command: readonly string[]): Job {
  return { name, command }
}

function rankOf (file: string): number {
  const rank = FIRST.indexOf(file)
  return rank === -1 ? FIRST.length : rank
}

function runJob ({ name, command }: Job): Promise<Result> {
  const start = performance.now()
  // In its own process group, so that nothing that a test started outlives a test that hangs.
  const child = spawn(process.execPath, command, { cwd: checkout, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const pid = child.pid as number
  running.add(pid)
  let output = ''
  let errors = ''
  let isLate = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { errors += text })
  const timer = setTimeout(() => {
    isLate = true
    killGroup(pid)
  }, FILE_SECONDS * 1_000)
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(pid)
      const skips = [...output.matchAll(/^ *ok .*# SKIP ?(.*)$/gm)].map(([, reason = '']) => reason)
      const isTap = output.startsWith('TAP version')
      const pass = isTap ? countOf(output, 'pass') : Number(code === 0)
      const failed = countOf(output, 'fail')
      const isBad = code !== 0 || (mustRunAll && skips.length > 0)
      const fail = isBad ? Math.max(failed, 1) : failed
      const why = isLate ? `not ended after ${FILE_SECONDS} s` : failed === 0 ? `ended with ${code ?? signal}` : ''
      const report = isBad ? [why, isTap ? failuresOf(output) : output, ...mustRunAll ? skips.map((reason) => `skipped: ${reason}`) : [], errors.slice(-SHOWN_OF_ERRORS)].filter((text) => text !== '').join('\n') : ''
      const failures = isBad ? [...why === '' ? [] : [why], ...titlesOf(output)] : []
      resolve({ name, seconds: (performance.now() - start) / 1_000, pass, fail, skips, failures, report: report === '' ? '' : `${report.replace(/^/gm, '    ')}\n` })
    })
  })
}

/** The number of a kind in the last line of a file, such as `# { total: 12, pass: 11, fail: 1 }`. */
function countOf (output: string, kind: 'pass' | 'fail'): number {
  return Number(new RegExp(`^# \\{ total: .*?[{,] ${kind}: (\\d+)`, 'm').exec(output)?.[1] ?? 0)
}

/** Each failed assertion with tap's diagnostics, and the titles of the tests around it. */
function failuresOf (output: string): string {
  const failures = output.matchAll(/^( *)not ok .*\n(?:\1 {2}---\n(?:\1 {2}.*\n|\n)*?\1 {2}\.\.\.\n)?/gm)
  return [...failures].map(([text]) => text).join('').trimEnd()
}

/** The titles of the failed assertions and of the tests around them. */
function titlesOf (output: string): string[] {
  return [...new Set([...output.matchAll(/^ *not ok \d+ - (.*?)(?: # time=\S+)?$/gm)].map(([, title = '']) => title.slice(0, SHOWN_OF_TITLE)))]
}

function killGroup (pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}

function summarize (): void {
  const [pass, fail, skip] = [sum(({ pass }) => pass), sum(({ fail }) => fail), sum(({ skips }) => skips.length)]
  const reasons = results.flatMap(({ skips }) => skips)
  for (const reason of new Set(reasons)) process.stdout.write(`# skipped ${reasons.filter((other) => other === reason).length}: ${reason}\n`)
  const slowest = results.toSorted((a, b) => b.seconds - a.seconds).slice(0, SHOWN_OF_SLOWEST).map(({ name, seconds }) => `${name} ${seconds.toFixed(0)} s`)
  process.stdout.write(`# slowest: ${slowest.join(', ')}\n`)
  // Once more at the end, where a reader of a long log looks.
  for (const { name, fail, failures } of results) if (fail > 0) process.stdout.write([`# failed: ${name}`, ...failures.map((title) => `#   ${title}`), ''].join('\n'))
  process.stdout.write(`# { total: ${pass + fail + skip}, pass: ${pass}, fail: ${fail}, skip: ${skip} }\n# time=${((performance.now() - begun) / 1_000).toFixed(1)} s\n`)
  if (fail > 0) process.exitCode = 1
}

function sum (of: (result: Result) => number): number {
  return results.reduce((total, result) => total + of(result), 0)
}
