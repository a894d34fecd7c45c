import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { run as runCli } from '../../cli.js'
import { Checks } from '../checks/checks.js'
import { until } from '../time/loop-clock.js'
import { checkout } from './child.js'

/** A start takes about half a second, and a hundred times that on a machine that is busy with much else. */
const START_MS = 60_000
/** The timeout that keeps a child from outliving its test. */
const PROGRAM_MS = 60_000

/** The checks of all processes of a test file, since they share data folders. */
const checks = new Checks()

/** The addresses of services: their answers to curl must match the OpenAPI document. */
const urls = new Set<string>()

export interface Service {
  /** The address of the service, from its log. */
  readonly url: string
  readonly child: ChildProcess
  /** From the start of node to the log line with the address, in ms. */
  readonly startedInMs: number
  /** All output so far. */
  output (): string
  /** Resolves to the exit code or the name of the signal that ended it. */
  readonly ended: Promise<number | string>
  /** Ends the service, and returns its exit code or the name of the signal that ended it. */
  end (signal?: NodeJS.Signals): Promise<number | string>
}

export interface Ended {
  /** The exit code, or the name of the signal that ended the process. */
  code: number | string
  stdout: string
  stderr: string
}

/** Starts `node dist/server.js` in a folder, with only `env` in its environment, and waits for its address. */
export async function startService (t: Test, folder: string, env: Record<string, string> = {}, program: 'server' | 'cli' = 'server'): Promise<Service> {
  const begun = performance.now()
  const { child, output, ended } = start([compiled(program)], folder, { PORT: '0', LOG_LEVEL: 'trace', ...env })
  for (const key of [env['SECRET_KEY'], ...env['SECRET_KEY_FALLBACKS']?.split(',') ?? []]) checks.secrets.add(key)
  t.teardown(async () => {
    await end('SIGKILL')
    const own = join(folder, env['DATA_DIR'] ?? 'data', 'secret.key')
    if (existsSync(own)) for (const key of readFileSync(own, 'utf8').split('\n')) checks.secrets.add(key)
    checks.logged(output())
    await checks.assertEmpty()
  })
  const url = await within(START_MS, 'the service did not start', async () => {
    for (;;) {
      const [, address] = /hatcheck listens at (http:\/\/[^\s"]+)/.exec(output()) ?? []
      if (address !== undefined) return address
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the service ended:\n${output()}`)
      await new Promise((resolve) => { child.stdout?.once('data', resolve); child.once('exit', resolve) })
    }
  })
  const startedInMs = performance.now() - begun
  urls.add(url)
  return { url, child, startedInMs, output, ended, end }

  function end (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    child.kill(signal)
    return ended
  }
}

/** The process IDs of the workers of a service, as the system lists them. */
export function workersOf ({ child: { pid } }: Pick<Service, 'child'>): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter((text) => text !== '').map(Number)
}

/** Runs `node dist/server.js` and waits until it ends by itself. */
export async function runServer (folder: string, env: Record<string, string> = {}): Promise<Ended> {
  return await run([compiled('server')], folder, { PORT: '0', ...env })
}

const STORE_LINE = /^hatcheck: (?:lmdb:|rediss?[:+]).*\n/

interface CliOptions {
  env?: Record<string, string>
  /** On standard input. */
  input?: string
}

/**
 * Runs `hatcheck …` in this process, with the data folder `data` of a folder: a new process would take half a second.
 * The `stderr` omits the first line of most commands, which names the store.
 */
export async function hatcheckCli (folder: string, args: readonly string[], { env = {}, input = '' }: CliOptions = {}): Promise<Ended> {
  for (const line of input.split('\n')) checks.secrets.add(line)
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const code = await runCli(args, {
    stdin: Readable.from([Buffer.from(input)]),
    stdout,
    stderr,
    env: async () => ({ ...env, DATA_DIR: resolve(folder, env['DATA_DIR'] ?? 'data') })
  })
  return { code, stdout: await text(stdout.end()), stderr: (await text(stderr.end())).replace(STORE_LINE, '') }
}

/** Runs `hatcheck …` in its own process in a folder. */
export async function hatcheckProcess (folder: string, args: readonly string[], { env = {}, input = '' }: CliOptions = {}): Promise<Ended> {
  for (const line of input.split('\n')) checks.secrets.add(line)
  const ended = await run([compiled('cli'), ...args], folder, env, input)
  return { ...ended, stderr: ended.stderr.replace(STORE_LINE, '') }
}

/**
 * Runs `hatcheck …` at a terminal, and types each answer when its question appears. What the terminal shows is in
 * `stdout`.
 */
export async function hatcheckInTerminal (folder: string, args: readonly string[], env: Record<string, string>, dialogue: ReadonlyArray<readonly [question: string, answer: string]>): Promise<Ended> {
  const command = [process.execPath, compiled('cli'), ...args].map((word) => `'${word}'`).join(' ')
  const { child, ended, stdout, stderr } = start(['-qec', command, '/dev/null'], folder, env, 'script')
  const timer = setTimeout(() => { child.kill('SIGKILL') }, PROGRAM_MS)
  for (const [question, answer] of dialogue) {
    await until(`the question ${question}`, () => stdout().includes(question) || child.exitCode !== null)
    child.stdin.write(`${answer}\r`)
  }
  const code = await ended
  clearTimeout(timer)
  return { code, stdout: stdout(), stderr: stderr() }
}

/** An answer as curl prints it. */
export interface CurlAnswer {
  status: number
  /** By lower-case name; several values of one name are joined by line breaks. */
  headers: Record<string, string>
  body: string
}

/** The real curl, with its own cookie jar in a file. */
export class Curl {
  readonly jar: string
  readonly #folder: string

  constructor (folder: string, jar: string) {
    this.#folder = folder
    this.jar = join(folder, jar)
  }

  async send (...args: string[]): Promise<CurlAnswer> {
    for (const [, password] of args.join('\n').matchAll(/\b(?:password|pwd)(?:=|": ?")([^&"\n]+)/g)) checks.secrets.add(password)
    const { code, stdout, stderr } = await run(['-q', '-sS', '-i', '--noproxy', '*', '--max-time', '20', '-b', this.jar, '-c', this.jar, ...args], this.#folder, {}, '', 'curl')
    if (code !== 0) throw new Error(`curl ${args.join(' ')} ended with ${code}: ${stderr}`)
    const answer = parse(stdout)
    const url = new URL(args.find((arg) => arg.startsWith('http://')) ?? '')
    checks.answered({ ...answer, method: methodOf(args), path: url.pathname }, { contract: urls.has(url.origin) })
    await checks.assertEmpty()
    return answer
  }

  /** Sends a form. */
  async post (url: string, form: Record<string, string>, ...args: string[]): Promise<CurlAnswer> {
    checks.secrets.addFields(form)
    return await this.send(...Object.entries(form).flatMap(([name, value]) => ['--data-urlencode', `${name}=${value}`]), ...args, url)
  }
}

/** Returns what curl prints for these arguments. */
function methodOf (args: readonly string[]): string {
  const at = args.findIndex((arg) => arg === '-X')
  if (at !== -1) return args[at + 1] ?? ''
  return args.some((arg) => arg === '-d' || arg.startsWith('--data') || arg === '--json') ? 'POST' : 'GET'
}

function start (args: string[], cwd: string, env: Record<string, string>, program = process.execPath) {
  // A new environment, without the settings of the person who runs the tests and the hooks of the test runner.
  const child = spawn(program, args, { cwd, env: { PATH: process.env['PATH'], ...env }, stdio: 'pipe' })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  child.stdin.on('error', () => {})
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => { resolve(code ?? signal ?? 'unknown') })
  })
  return { child, ended, stdout: () => stdout, stderr: () => stderr, output: () => stdout + stderr }
}

async function run (args: string[], cwd: string, env: Record<string, string>, input = '', program?: string): Promise<Ended> {
  const { child, ended, stdout, stderr } = start(args, cwd, env, program)
  child.stdin?.end(input)
  const timer = setTimeout(() => { child.kill('SIGKILL') }, PROGRAM_MS)
  const code = await ended
  clearTimeout(timer)
  return { code, stdout: stdout(), stderr: stderr() }
}

async function within<T> (ms: number, what: string, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => { reject(new Error(`after ${ms} ms: ${what}`)) }, ms) })
  try {
    return await Promise.race([work(), tooLate])
  } finally {
    clearTimeout(timer)
  }
}

/** The program as it is published; the tests are compiled later. */
export function compiled (program: 'server' | 'cli'): string {
  return join(checkout, 'dist', `${program}.js`)
}

function parse (text: string): CurlAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n')
  const status = Number(statusLine.split(' ')[1])
  const rest = text.slice(end + 4)
  if (status < 200) return parse(rest)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = name in headers ? `${headers[name]}\n${value}` : value
  }
  return { status, headers, body: rest }
}
