import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { checkout, childEnvironment, copySources } from '../test/fixtures/child.js'
import { redisPlace } from './places.js'

// npm run bench:footprint: measures what an application installs, loads and keeps in memory for its sessions. Prints a table to
// standard output. It installs packages from the registry.

/** Cold processes of each contender, in turns. */
const ROUNDS = 9

interface Contender {
  /** The packages that its documentation says to install, and the flags of npm. */
  packages: string[]
  /** Loads the plugin; evaluates to a function that registers it. */
  code: string
}

interface Sample {
  importMs: number
  registerMs: number
  secondMs: number
  memory: number
}

const folder = mkdtempSync(join(tmpdir(), 'hatcheck-footprint-'))
const interrupt = new AbortController()

try {
  say('packing')
  const source = join(folder, 'source')
  await copySources(source)
  // What builds it.
  symlinkSync(join(checkout, 'node_modules'), join(source, 'node_modules'), 'junction')
  const [{ filename }] = JSON.parse(await ran('npm', ['pack', '--json', '--foreground-scripts=false'], source))
  const hatcheck = join(source, filename)
  const redis = await redisPlace(folder, interrupt.signal)

  const contenders: Record<string, Contender> = {
    'fastify alone': { packages: ['fastify'], code: 'async () => {}' },
    '@fastify/session, memory': {
      packages: ['fastify', '@fastify/cookie', '@fastify/session'],
      code: `await Promise.all([import('@fastify/cookie'), import('@fastify/session')]).then(([{ default: cookie }, { default: session }]) => async (app) => {
        await app.register(cookie)
        await app.register(session, { secret })
      })`
    },
    'hatcheck/session, memory': { packages: ['fastify', hatcheck, '--omit=optional'], code: hatcheckOf('hatcheck/session', '\'memory:\'') },
    'hatcheck/session, LMDB': { packages: ['fastify', hatcheck], code: hatcheckOf('hatcheck/session', '\'lmdb:./data-\' + Math.random()') },
    ...redis !== null && {
      'hatcheck/session, Redis': { packages: ['fastify', hatcheck, '--omit=optional'], code: hatcheckOf('hatcheck/session', `'${redis.where}'`) }
    },
    'hatcheck, LMDB': { packages: ['fastify', hatcheck], code: hatcheckOf('hatcheck', '\'lmdb:./data-\' + Math.random()') }
  }
  const names = Object.keys(contenders)
  const installed = new Map<string, { megabytes: number, packages: number }>()
  for (const [i, [name, contender]] of Object.entries(contenders).entries()) {
    say(`installing ${name}`)
    installed.set(name, await install(placeOf(i), contender))
  }
  const samples = new Map(names.map((name) => [name, [] as Sample[]]))
  for (let round = 1; round <= ROUNDS; round++) {
    say(`round ${round} of ${ROUNDS}`)
    for (const [i, name] of names.entries()) samples.get(name)?.push(JSON.parse(await ran(process.execPath, ['--expose-gc', 'probe.js'], placeOf(i))))
  }
  await redis?.close()

  const rows = names.map((name) => {
    const { megabytes, packages } = installed.get(name) ?? { megabytes: NaN, packages: NaN }
    const of = (key: keyof Sample): number => median(samples.get(name)?.map((sample) => sample[key]) ?? [])
    return [name, megabytes.toFixed(1), packages, ...(['importMs', 'registerMs', 'secondMs'] as const).map((key) => of(key).toFixed(0)), (of('memory') / 2 ** 20).toFixed(1)]
  })
  const head = ['', 'installed, MiB', 'packages', 'import, ms', 'register, ms', 'second registration, ms', 'idle memory, MiB']
  console.log([head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`.replace('|  |', '| |')).join('\n'))
} finally {
  interrupt.abort()
  rmSync(folder, { recursive: true, force: true })
}

function placeOf (i: number): string {
  return join(folder, String(i))
}

function hatcheckOf (door: string, sessionStore: string): string {
  return `await import('${door}').then(({ default: hatcheck }) => async (app) => { await app.register(hatcheck, { secretKey: secret, sessionStore: ${sessionStore} }) })`
}

/** Installs the packages, and writes the program that measures. */
async function install (place: string, { packages, code }: Contender): Promise<{ megabytes: number, packages: number }> {
  const { dependencies } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  mkdirSync(place)
  writeFileSync(join(place, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(place, 'probe.js'), `import Fastify from 'fastify'
const secret = '${randomBytes(32).toString('base64url')}'
const begun = performance.now()
const register = ${code}
const imported = performance.now()
const [one, two] = [Fastify(), Fastify()]
const made = performance.now()
await register(one)
const registered = performance.now()
await register(two)
const ready = performance.now()
await Promise.all([one.ready(), two.ready()])
gc()
console.log(JSON.stringify({ importMs: imported - begun, registerMs: registered - made, secondMs: ready - registered, memory: process.memoryUsage().rss }))
await Promise.all([one.close(), two.close()])
`)
  await ran('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', ...packages.map((name) => name in dependencies ? `${name}@${dependencies[name]}` : name)], place)
  const list = await ran('npm', ['ls', '--all', '--parseable'], place)
  return {
    megabytes: Number.parseInt(await ran('du', ['-sk', 'node_modules'], place), 10) / 1_024,
    packages: new Set(list.trim().split('\n').slice(1)).size
  }
}

async function ran (program: string, args: string[], cwd: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { cwd, env: childEnvironment() })
  return stdout
}

function median (values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN
}

function say (what: string): void {
  process.stderr.write(`${what}\n`)
}
