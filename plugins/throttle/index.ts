import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import { accountKey } from '../store/accounts.js'
import { spelledOut } from '../accounts/name.js'
import { BusyError, assertNotBusy } from '../accounts/password.js'
import type { Authenticate, Check } from '../accounts/authenticator.js'
import { durationText } from '../common/duration.js'
import { KeyedQueue } from '../common/keyed-queue.js'
import { hashIn } from '../common/realm.js'
import { clientAddress } from '../session/client.js'
import { cookieValues } from '../tickets/ticket.js'
import { Admission, isRefusal, type Attempt, type Refusal } from './admission.js'
import { DEVICE_SECONDS, deviceOf, mayBeDevice, newDevice, type MacsOf } from './device.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Puts the throttle before an authenticator, which is then asked only as often as the policies allow. */
    throttled (check: Check): Authenticate
    /** Counts a sign-up for the address it comes from: else signing up would be a way to try without end. */
    countSignup (request: FastifyRequest): Promise<void>
    /**
     * Makes the browser a known device of the account, by the name that was tried.
     *
     * @param user the answer of the authenticator
     */
    rememberDevice (request: FastifyRequest, reply: FastifyReply, name: string, user: { name: string }): Promise<void>
  }
}

/** Too many logins have failed; nothing was checked, and this one does not count. */
export const ThrottledError = createError<[string]>('HATCHECK_THROTTLED', 'Too many logins have failed. Please try again in %s.', 429)

const SWEEP_EVERY_MS = 60_000
/** How many tries may wait for one account, or for one known device or network of it. */
const LONGEST_LINE = 8
/** How many device cookies of a request are looked at: a sibling domain can plant some, and each costs a key and a MAC. */
const MOST_DEVICES = 8

/** Slows guessing down: docs/admission.md has the rules. Every process with the same store and realm counts together. */
export default fp(async function throttle (fastify) {
  const { hatcheck, accounts } = fastify
  const { config: { now, realm }, storage: { attempts }, workers, audit, cookieOf, macsFor } = hatcheck
  const admission = new Admission({ attempts, now, hash: (text) => hashIn(realm, text) })
  const [familiarQueue, strangerQueue] = [new KeyedQueue(), new KeyedQueue()]
  const macsOf: MacsOf = (text) => macsFor('known device', text)

  hatcheck.throttled = (check) => async (name, password, request) => {
    const account = accountOf(name)
    const address = clientAddress(request) ?? ''
    const attempt = await admission.attemptOf({ account, device: await presentedDevice(request, name), address })
    // A try that has to wait in any case takes no place from others.
    if (isRefusal(attempt)) throw refused(attempt)
    const queue = attempt.isFamiliar ? familiarQueue : strangerQueue
    assertPlace(queue, attempt)
    // One after another, for the right passwords' sake: each is counted beforehand, and that only its success takes back.
    return await queue.run(attempt.line, async () => {
      const refusal = await attempt.admit()
      if (refusal !== null) throw refused(refusal)
      let user
      try {
        user = await check(name, password, request, attempt.isFamiliar)
      } catch (error) {
        await (isNo(error) ? attempt.failed() : attempt.withdrawn())
        throw error
      }
      await (user === null ? attempt.failed() : attempt.succeeded())
      return user
    })

    function refused ({ reason, waitMs }: Refusal): Error {
      audit('authn_login_throttled', request, { user: name, reason })
      return throttledError(waitMs)
    }
  }

  hatcheck.countSignup = (request) => admission.countSignup(clientAddress(request) ?? '')

  hatcheck.rememberDevice = async (request, reply, name, user) => {
    const { attributes } = cookieOf(request)
    const of = { account: accountOf(name), version: await accounts?.versionOf(user) ?? '' }
    hatcheck.setCookie(reply, deviceCookie(request), newDevice(of, now(), macsOf), { ...attributes, maxAge: DEVICE_SECONDS })
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

  /** @throws BusyError if no place is left for it. */
  function assertPlace (queue: KeyedQueue, { line, isFamiliar }: Attempt): void {
    assertNotBusy(queue.waiting, isFamiliar)
    if (queue.lengthOf(line) >= LONGEST_LINE) throw new BusyError()
  }

  async function presentedDevice (request: FastifyRequest, name: string): Promise<string | null> {
    const values = cookieValues(request.headers.cookie ?? '', deviceCookie(request)).filter((value) => mayBeDevice(value, now())).slice(0, MOST_DEVICES)
    if (values.length === 0) return null
    const of = { account: accountOf(name), version: await accounts?.versionOf(name) ?? '' }
    for (const value of values) {
      const device = deviceOf(value, of, now(), macsOf)
      if (device !== null) return device
    }
    return null
  }

  function deviceCookie (request: FastifyRequest): string {
    return `${cookieOf(request).name}-device`
  }
}, { name: 'throttle', dependencies: ['config', 'storage', 'session', 'cookie', 'audit', 'workers', 'accounts'] })

/** What is counted and known for a name, however it is spelled: else every spelling would be a way to go on guessing. */
function accountOf (name: string): string {
  return accountKey(spelledOut(name))
}

/** An authenticator of the application may say no by an error of its own. Any other error says nothing about the password. */
function isNo (error: unknown): boolean {
  const { statusCode } = error as { statusCode?: unknown }
  return statusCode === 401 || statusCode === 403
}

function throttledError (waitMs: number): Error {
  const seconds = Math.ceil(waitMs / 1_000)
  const wait = seconds < 120 ? durationText(seconds, 'second') : durationText(Math.ceil(seconds / 60), 'minute')
  return Object.assign(new ThrottledError(wait), { headers: { 'retry-after': String(seconds) } })
}
