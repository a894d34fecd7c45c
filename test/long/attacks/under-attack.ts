import { constants, setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { Client, type Answer } from '../../clients/client.js'
import type { Service } from '../../processes/service.js'

const HEALTH_EVERY_MS = 20
const LOGIN_EVERY_MS = 200

/** The user whose device is known before the attack begins. */
export interface Owner {
  name: string
  password: string
}

export interface Endured {
  /** The slowest answer of `/healthz` during the attack, in ms, each over a connection of its own. */
  slowestHealthMs: number
  /** How often the known device logged in during the attack. */
  logins: number
  /** The status of each login that was refused, or the code of its error. */
  refusals: Array<number | string>
}

/** The service must allow this user to sign up, or have the account. */
export const OWNER: Owner = { name: 'Owner of a known device', password: 'a device that is known here' }

/** The device cookie of the service's owner, for the next attack on it. */
const devices = new WeakMap<object, string>()

/**
 * Attacks a running service. Meanwhile requests `/healthz` and logs a known device in repeatedly. Prints the figures.
 *
 * @throws if the device cannot log in before the attack, or if `/healthz` answers anything but 200 during it.
 */
export async function underAttack (t: Test, service: Pick<Service, 'url' | 'child'>, attack: () => Promise<void>, owner: Owner = OWNER): Promise<Endured> {
  const { url } = service
  const [watcher, client] = [new Client(url), new Client(url)]
  const first = await logIn(client, owner, devices.get(service) ?? '')
  if (deviceOf(client) === '') throw new Error(`the owner of the known device cannot log in before the attack: ${first.statusCode} ${first.body}`)
  hurry(process.pid)
  hurry(service.child.pid)
  const endured: Endured = { slowestHealthMs: 0, logins: 0, refusals: [] }
  const ending = new AbortController()
  const watching = Promise.all([
    every(HEALTH_EVERY_MS, ending.signal, async () => {
      const begun = performance.now()
      const { statusCode } = await watcher.get('/healthz')
      if (statusCode !== 200) throw new Error(`/healthz answers ${statusCode} during the attack`)
      endured.slowestHealthMs = Math.max(endured.slowestHealthMs, performance.now() - begun)
    }),
    every(LOGIN_EVERY_MS, ending.signal, async () => {
      const answer = await logIn(client, owner, deviceOf(client)).catch((error: NodeJS.ErrnoException) => error)
      if (answer instanceof Error) endured.refusals.push(answer.code ?? answer.message)
      else if (answer.statusCode !== 303) endured.refusals.push(answer.statusCode)
      else endured.logins++
    })
  ])
  // An error is reported below, after the attack.
  watching.catch(() => {})
  try {
    await attack()
  } finally {
    ending.abort()
  }
  await watching
  devices.set(service, deviceOf(client))
  const { slowestHealthMs, logins, refusals } = endured
  t.comment(`during the attack: /healthz within ${slowestHealthMs.toFixed(1)} ms, the known device got in ${logins} times and was refused ${refusals.length} times ${refusals.slice(0, 5).join(' ')}`)
  return endured
}

/** An attack is repeated for this long. Other work on the machine can only make answers slower, so the best result counts. */
const TRIES_MS = 60_000
const LONGEST_MS = 100

/** Asserts that during an attack `/healthz` answers within 100 ms, and that the known device gets in whenever it asks. */
export async function endures (t: Test, service: Pick<Service, 'url' | 'child'>, attack: () => Promise<void>, owner?: Owner): Promise<void> {
  const begun = performance.now()
  let slowest = Infinity
  while (slowest > LONGEST_MS && performance.now() - begun < TRIES_MS) {
    const { slowestHealthMs, logins, refusals } = await underAttack(t, service, attack, owner)
    t.ok(logins > 0, 'the known device gets in')
    t.strictSame(refusals, [], 'and is never refused')
    slowest = slowestHealthMs
  }
  t.ok(slowest <= LONGEST_MS, `/healthz answers within ${LONGEST_MS} ms: ${slowest.toFixed(1)} ms`)
}

/** Does something `count` times, over a few connections in parallel. */
export async function many (count: number, work: (i: number) => Promise<unknown>, atOnce = 4): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < count) await work(next++)
  }))
}

async function logIn (client: Client, { name, password }: Owner, device: string): Promise<Answer> {
  return await client.post('/login', { client_name: name, password }, device === '' ? {} : { cookie: device })
}

/** The thread that answers gets a higher priority where that is allowed, so that other tests are not part of the measurement. */
function hurry (pid: number | undefined): void {
  try {
    setPriority(pid ?? 0, constants.priority.PRIORITY_HIGHEST)
  } catch {}
}

/** Returns the cookie of the known device alone: a browser that was closed has lost the one of the session. */
export function deviceOf (client: Client): string {
  return client.cookie([...client.cookies.keys()].find((name) => name.endsWith('-device')))
}

/** Runs at least once, then until the signal; each run waits for the answer to the one before. */
async function every (ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  do {
    await work()
    await sleep(ms, undefined, { signal }).catch(() => {})
  } while (!signal.aborted)
}
