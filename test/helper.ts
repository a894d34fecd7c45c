import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import { hatcheck, hatcheckService, type HatcheckOptions, type ServiceOptions } from '../app.js'
import type { GivenOptions } from '../plugins/config/options.js'
import { createTicketSigner, storeKey } from '../plugins/tickets/ticket.js'
import { checksOf } from './checks/checks.js'
import type { Answer } from './clients/client.js'
import './time/calm-loop.js'
import './time/cheap-hashes.js'

/** An obvious test key, made at run time, and as strong as a random one. */
export const testKey = `key for tests only: ${createHash('sha256').update('tests').digest('hex')}`

/** Another one, for what was signed before a change of the key. */
export const formerKey = testKey.replace('tests only', 'tests formerly')

/** Makes hatcheck as the service, by default in demo mode with the store in memory, and closes it with the test. */
export async function build (
  t: Test,
  options: Partial<ServiceOptions> = {},
  server: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const fastify = newFastify(t, server, options)
  await fastify.register(hatcheckService, { mode: 'demo', sessionStore: 'memory:', secretKey: testKey, ...options })
  return fastify
}

/** Makes hatcheck as the plugin of an application, with the store in memory. Add routes, then inject. */
export async function buildHost (t: Test, options: GivenOptions = {}, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const fastify = newFastify(t, server, options)
  await fastify.register(hatcheck, { sessionStore: 'memory:', secretKey: testKey, ...options } as HatcheckOptions)
  return fastify
}

/**
 * Makes a Fastify whose log and answers are checked, and closes it with the test. `logger: false` leaves out the checks, for tests that
 * measure time or send a hundred thousand requests.
 */
export function newFastify (t: Test, server: FastifyServerOptions = {}, { secretKey, secretKeyFallbacks }: GivenOptions = {}): FastifyInstance {
  const checks = server.logger === false ? null : checksOf(t)
  const fastify = Fastify(checks?.serverOptions(server) ?? server) as unknown as FastifyInstance
  for (const key of [testKey, secretKey, secretKeyFallbacks].flat()) checks?.secrets.add(key)
  checks?.watch(fastify)
  t.teardown(() => fastify.close())
  return fastify
}

/** The Set-Cookie line of the session cookie, without that of the known device. */
export function sessionCookieOf ({ headers }: Pick<Answer, 'headers'>): string | undefined {
  return [headers['set-cookie'] ?? []].flat().find((line) => /^(?:__(?:Host|Secure)-)?hatcheck=/.test(line))
}

/** Returns the store key of the session that a cookie, as a header has it, belongs to. */
export function keyOf (cookie: string): string {
  return storeKey(cookie.split('=')[1]?.split('.')[0] ?? '')
}

/** Returns the handle by which the log and the events name the session of a cookie that is signed with `testKey`. */
export function handleOf (cookie: string): string {
  return createTicketSigner([Buffer.from(testKey)]).handleOf(keyOf(cookie))
}

/** Makes a list of this length. */
export function times<T> (count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i))
}

/** A promise that a test settles, to force the order of a race. */
export function gate (): { open: () => void, passed: Promise<void> } {
  let open = (): void => {}
  const passed = new Promise<void>((resolve) => { open = resolve })
  return { open, passed }
}

/** Lets the event loop turn. Injected requests alone can hold it for over a second on a busy machine. */
export async function turn (): Promise<void> {
  await new Promise((resolve) => { setImmediate(resolve) })
}

/** Skips a test where one of its programs is missing, with the reason; fails it if HATCHECK_TEST_ALL requires all tests to run. */
export function needs (...programs: string[]): { skip: string | false } {
  const missing = programs.find((program) => !isInstalled(program))
  if (missing === undefined || process.env['HATCHECK_TEST_ALL'] === '1') return { skip: false }
  return { skip: `needs ${missing}, which is not installed here` }
}

function isInstalled (program: string): boolean {
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0
}
