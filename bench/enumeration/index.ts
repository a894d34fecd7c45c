import { fork, type ChildProcess } from 'node:child_process'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { runCommand, type Lifetime } from '../command.js'
import { integer, readCommandLine } from '../command-line.js'
import { answerOf, endProcess } from '../processes.js'
import { median, percentile } from '../statistics.js'
import { ATTACKERS, clientOf, login, RIGHT, WRONG } from './login.js'

// Does the time of a refused login tell which names exist? And do logged-in users notice an attack on the logins?
// The service and its attackers are processes of their own; the service is on LMDB, and asked over TCP.

/** Bounds of the difference from a wrong password: of the median, and of the share of pairs from a half. */
const MAX_OFF_PERCENT = 5
const MAX_OFF_SHARE = 0.06

const READS = 2_000
/** By this time all attackers are logging in. */
const ATTACK_BEGINS_MS = 2_000
const MOVE_ON_EVERY_MS = 500

const samples = readCommandLine('npm run enumeration -- [--samples 500]', () =>
  integer('--samples', parseArgs({ options: { samples: { type: 'string', default: '500' } } }).values.samples))

await runCommand('enumeration', async (lifetime) => {
  const service = start(lifetime, 'service.ts', join(lifetime.folder, 'lmdb'))
  const port = await answerOf<number>(service, 'the service')
  await compareLogins(port, service)
  await compareReads(port, service, () => start(lifetime, 'attackers.ts', String(port)))
})

function start ({ teardown }: Lifetime, file: string, argument: string): ChildProcess {
  const child = fork(join(import.meta.dirname, file), [argument])
  teardown(async () => { await endProcess(child, () => { if (child.connected) child.disconnect() }) })
  return child
}

/** Compares how long refused logins take. The cases take turns, in a random order each round, so that what disturbs the machine meets them alike. */
async function compareLogins (port: number, service: ChildProcess): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const cases = { 'wrong password': ['Harry', WRONG], 'unknown name': ['Molly', WRONG], 'disabled account': ['Sally', RIGHT] } as const
  const names = Object.keys(cases) as Array<keyof typeof cases>
  const took: Record<keyof typeof cases, number[]> = { 'wrong password': [], 'unknown name': [], 'disabled account': [] }
  for (let round = -10; round < samples; round++) {
    await moveOn(service)
    for (const name of shuffled(names)) {
      const before = performance.now()
      const [user, password] = cases[name]
      const { statusCode } = await login(port, agent, user, password)
      if (statusCode !== 401) throw new Error(`${name}: ${statusCode}`)
      // The first rounds warm up.
      if (round >= 0) took[name].push(performance.now() - before)
    }
  }
  agent.destroy()
  const known = took['wrong password']
  console.log(`${samples} refused logins of each kind`)
  for (const name of names) {
    const { share, z } = mannWhitney(known, took[name])
    const off = (median(took[name]) / median(known) - 1) * 100
    const isAlike = Math.abs(off) <= MAX_OFF_PERCENT && Math.abs(share - 0.5) <= MAX_OFF_SHARE
    if (!isAlike) process.exitCode = 1
    console.log(`${name.padEnd(18)}median ${median(took[name]).toFixed(2)} ms (${off >= 0 ? '+' : ''}${off.toFixed(1)} %); ` +
      `slower than a wrong password in ${(share * 100).toFixed(1)} % of pairs, z ${z.toFixed(2)}: ${isAlike ? 'alike' : 'DIFFERENT'}`)
  }
}

/** Compares the reads of a logged-in user while nothing else happens with those while the attackers are logging in. */
async function compareReads (port: number, service: ChildProcess, startAttackers: () => ChildProcess): Promise<void> {
  await moveOn(service)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const harry = clientOf(port, agent)
  await harry.login('Harry', RIGHT)
  const read = async (): Promise<number> => {
    const before = performance.now()
    const { statusCode, body } = await harry.get('/')
    if (statusCode !== 200 || !body.includes('Harry Your account is logged in.')) throw new Error(`a read got ${statusCode}`)
    return performance.now() - before
  }
  for (let i = 0; i < READS; i++) await read()
  const idle: number[] = []
  for (let i = 0; i < READS; i++) idle.push(await read())

  const attackers = startAttackers()
  // Else the throttle would refuse most attacks for next to nothing.
  const moving = setInterval(() => { service.send('move on') }, MOVE_ON_EVERY_MS)
  const busy: number[] = []
  try {
    await sleep(ATTACK_BEGINS_MS)
    for (let i = 0; i < READS; i++) busy.push(await read())
  } finally {
    clearInterval(moving)
  }
  const statuses = await answerOf(attackers, 'the process of the attackers', 'stop')
  agent.destroy()
  const ratio = median(busy) / median(idle)
  console.log(`reads of a logged-in user: median ${median(idle).toFixed(2)} ms when nothing happens, ` +
    `${median(busy).toFixed(2)} ms while ${ATTACKERS} are logging in (${ratio.toFixed(2)} x); p99 ${percentile(idle, 0.99).toFixed(2)} and ${percentile(busy, 0.99).toFixed(2)} ms; ` +
    `answers of the logins ${JSON.stringify(statuses)}`)
}

/** Moves the clock of the service on. */
async function moveOn (service: ChildProcess): Promise<void> {
  await answerOf(service, 'the service', 'move on')
}

/** The Mann-Whitney U test. Returns in which share of all pairs the second is the greater one, and how far that is from a half, in standard deviations. */
function mannWhitney (first: readonly number[], second: readonly number[]): { share: number, z: number } {
  const [n, m] = [first.length, second.length]
  let u = 0
  for (const a of first) for (const b of second) u += b > a ? 1 : b === a ? 0.5 : 0
  return { share: u / (n * m), z: (u - n * m / 2) / Math.sqrt(n * m * (n + m + 1) / 12) }
}

function shuffled<T> (values: readonly T[]): T[] {
  return values.map((value) => ({ value, at: Math.random() })).sort((a, b) => a.at - b.at).map(({ value }) => value)
}
