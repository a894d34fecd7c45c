import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import { accountKey, spelledOut } from '../accounts/name.js'
import { assertNotBusy } from '../accounts/password.js'
import type { Authenticate } from '../auth.js'
import { hashIn } from '../common/realm.js'
import { networkOf } from '../config/network.js'
import { clientAddress } from '../session/client.js'
import { cookieValues } from '../session/ticket.js'
import { deviceOf, newDevice, type MacsOf } from './device.js'
import { Lines } from './lines.js'
import { policies, type Policy } from './policy.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Puts the throttle before an authenticator, which is then asked only as often as the policies allow. */
    throttled (authenticate: Authenticate): Authenticate
    /** Counts a new account for the address it comes from: else signing up would be a way to try without end. */
    countSignup (request: FastifyRequest): Promise<void>
    /** Makes the browser a known device of the account, by the name that was tried. */
    rememberDevice (request: FastifyRequest, reply: FastifyReply, name: string): void
  }
}

/** Too many logins have failed; nothing was checked, and this one does not count. */
export const ThrottledError = createError<[string]>('HATCHECK_THROTTLED', 'Too many logins have failed. Please try again in %s.', 429)

const SWEEP_EVERY_MS = 60_000
const DEVICE_SECONDS = 180 * 86_400

type Kind = keyof typeof policies

interface CounterOf {
  kind: Kind
  key: string
  policy: Policy
}

/** Slows guessing down: by account, by address and in all, in counters that every process with the same store and realm shares. */
export default fp(async function throttle (fastify) {
  const { hatcheck } = fastify
  const { config: { now, realm }, storage: { attempts }, workers, audit, cookieOf, macsFor } = hatcheck
  const lines = new Lines()
  const macsOf: MacsOf = (text) => macsFor('known device', text)

  hatcheck.throttled = (authenticate) => async (name, password, request) => {
    const account = accountOf(name)
    const device = presentedDevice(request, account)
    const own = device === null ? counterOf('account', account) : counterOf('device', device)
    const shared = device === null ? [addressOf(request), counterOf('global')] : []
    assertNotBusy(lines.waiting)
    // One after another, for the right passwords' sake: each is counted beforehand, and that only its success takes back.
    return await lines.inTurn(own.key, async () => {
      for (const counter of shared) refuseIf(await attempts.waitOf(counter.key, counter.policy, now()), counter)
      refuseIf(await attempts.admit(own.key, own.policy, now()), own)
      let user
      try {
        user = await authenticate(name, password, request)
      } catch (error) {
        if (!isRefusal(error)) await attempts.uncount(own.key)
        else await countAll(shared)
        throw error
      }
      if (user === null) await countAll(shared)
      else await attempts.forget(own.key)
      return user
    })

    function refuseIf (waitMs: number, { kind }: CounterOf): void {
      if (waitMs <= 0) return
      audit('authn_login_throttled', request, { user: name, reason: kind })
      throw throttledError(waitMs)
    }
  }

  hatcheck.countSignup = async (request) => { await countAll([addressOf(request)]) }

  hatcheck.rememberDevice = (request, reply, name) => {
    const { attributes } = cookieOf(request)
    hatcheck.setCookie(reply, deviceCookie(request), newDevice(accountOf(name), macsOf), { ...attributes, maxAge: DEVICE_SECONDS })
  }

  const stopping = new AbortController()
  const sweeping = workers.sweeps
    ? setInterval(() => { sweep().catch((error: unknown) => { fastify.log.warn({ err: error }, 'sweep of failed logins failed') }) }, SWEEP_EVERY_MS).unref()
    : undefined
  fastify.addHook('onClose', async () => {
    stopping.abort()
    clearInterval(sweeping)
  })

  async function sweep (): Promise<void> {
    while (!stopping.signal.aborted && await attempts.sweep(now())) await new Promise((resolve) => { setImmediate(resolve) })
  }

  async function countAll (counters: readonly CounterOf[]): Promise<void> {
    await Promise.all(counters.map(({ key, policy }) => attempts.count(key, policy, now())))
  }

  function presentedDevice (request: FastifyRequest, account: string): string | null {
    for (const value of cookieValues(request.headers.cookie ?? '', deviceCookie(request))) {
      const device = deviceOf(value, account, macsOf)
      if (device !== null) return device
    }
    return null
  }

  function addressOf (request: FastifyRequest): CounterOf {
    return counterOf('address', networkOf(clientAddress(request) ?? ''))
  }

  /** The store gets a hash: a name that somebody mistyped may be a password. */
  function counterOf (kind: Kind, whose = ''): CounterOf {
    return { kind, key: `${kind}:${hashIn(realm, whose)}`, policy: policies[kind] }
  }

  function deviceCookie (request: FastifyRequest): string {
    return `${cookieOf(request).name}-device`
  }
}, { name: 'throttle', dependencies: ['config', 'storage', 'session', 'cookie', 'audit', 'workers'] })

/** What is counted and known for a name, however it is spelled: else every spelling would be a way to go on guessing. */
function accountOf (name: string): string {
  return accountKey(spelledOut(name))
}

/** An authenticator of the application may say no by an error of its own. Any other error says nothing about the password. */
function isRefusal (error: unknown): boolean {
  const { statusCode } = error as { statusCode?: unknown }
  return statusCode === 401 || statusCode === 403
}

function throttledError (waitMs: number): Error {
  const seconds = Math.ceil(waitMs / 1_000)
  const wait = seconds < 120 ? plural(seconds, 'second') : plural(Math.ceil(seconds / 60), 'minute')
  return Object.assign(new ThrottledError(wait), { headers: { 'retry-after': String(seconds) } })
}

function plural (count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
