import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { accountKey } from '../store/accounts.js'
import { spelledOut } from '../accounts/name.js'
import { BusyError, assertNotBusy } from '../accounts/password.js'
import type { Authenticate, Check } from '../accounts/authenticator.js'
import { createTooMany } from '../common/http-errors.js'
import { hashIn } from '../common/realm.js'
import { clientAddress } from '../session/client.js'
import { cookieValues } from '../tickets/ticket.js'
import { Admission, isRefusal, type Attempt, type Refusal } from './admission.js'
import { DEVICE_SECONDS, deviceOf, mayBeDevice, newDevice, type MacsOf } from './device.js'
import { Lines } from './lines.js'

export type Throttle = ReturnType<typeof createThrottle>

/** Too many logins have failed; nothing was checked, and this one does not count. */
export const ThrottledError = createTooMany('HATCHECK_THROTTLED', 'Too many logins have failed. Please try again in %s.')

const SWEEP_EVERY_MS = 60_000
/** How many tries may wait for one account, or for one known device or network of it. */
const LONGEST_LINE = 8
/** How many device cookies of a request are looked at: a sibling domain can plant some, and each costs a key and a MAC. */
const MOST_DEVICES = 8

/** Slows guessing down: docs/admission.md has the rules. Every process with the same store and realm counts together. */
export default fp(async function throttle (fastify) {
  fastify.hatcheck.provide('throttle', createThrottle(fastify))
}, { name: 'throttle', dependencies: ['config', 'storage', 'session', 'cookie', 'audit', 'workers', 'accounts'] })

function createThrottle (fastify: FastifyInstance) {
  const { hatcheck, accounts } = fastify
  const { config: { now, realm }, storage: { attempts }, workers, audit, cookies, session: { cookieOf, macsFor } } = hatcheck
  const admission = new Admission({ attempts, now, hash: (text) => hashIn(realm, text) })
  const [familiarLines, strangersLines] = [new Lines(), new Lines()]
  const macsOf: MacsOf = (text) => macsFor('known device', text)

  /** Puts the throttle before an authenticator, which is then asked only as often as the policies allow. */
  const throttled = (check: Check): Authenticate => async (name, password, request) => {
    const account = accountOf(name)
    const address = clientAddress(request) ?? ''
    const attempt = await admission.attemptOf({ account, device: await presentedDevice(request, name), address })
    // A try that has to wait in any case takes no place from others.
    if (isRefusal(attempt)) throw refused(attempt)
    const lines = attempt.isFamiliar ? familiarLines : strangersLines
    assertPlace(lines, attempt)
    // One after another, for the right passwords' sake: each is counted beforehand, and that only its success takes back.
    return await lines.inTurn(attempt.line, async () => {
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
      return new ThrottledError(Math.ceil(waitMs / 1_000))
    }
  }

  /** Counts a sign-up for the address it comes from: else signing up would be a way to try without end. */
  function countSignup (request: FastifyRequest): Promise<void> {
    return admission.countSignup(clientAddress(request) ?? '')
  }

  /**
   * Makes the browser a known device of the account, by the name that was tried.
   *
   * @param user the answer of the authenticator
   */
  async function rememberDevice (request: FastifyRequest, reply: FastifyReply, name: string, user: { name: string }): Promise<void> {
    const { attributes } = cookieOf(request)
    const of = { account: accountOf(name), version: await accounts?.versionOf(user) ?? '' }
    cookies.set(reply, deviceCookie(request), newDevice(of, now(), macsOf), { ...attributes, maxAge: DEVICE_SECONDS })
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
  function assertPlace (lines: Lines, { line, isFamiliar }: Attempt): void {
    assertNotBusy(lines.waiting, isFamiliar)
    if (lines.lengthOf(line) >= LONGEST_LINE) throw new BusyError()
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

  return { throttled, countSignup, rememberDevice }
}

/** What is counted and known for a name, however it is spelled: else every spelling would be a way to go on guessing. */
function accountOf (name: string): string {
  return accountKey(spelledOut(name))
}

/** An authenticator of the application may say no by an error of its own. Any other error says nothing about the password. */
function isNo (error: unknown): boolean {
  const { statusCode } = error as { statusCode?: unknown }
  return statusCode === 401 || statusCode === 403
}
