import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Check, LimitedCheck } from '../accounts/authenticator.js'
import { unifySpelling } from '../accounts/name.js'
import { BusyError, assertNotBusy } from '../accounts/password.js'
import { clientAddress } from '../common/client-address.js'
import { createTooMany } from '../common/http-errors.js'
import { KeyedQueue } from '../common/keyed-queue.js'
import { hashIn } from '../common/realm.js'
import { startSweeping } from '../common/sweeping.js'
import { cookieValues } from '../cookies/header.js'
import { accountKey } from '../store/accounts.js'
import { Admission, isRefusal, type Attempt, type Refusal } from './admission.js'
import { DEVICE_SECONDS, newDevice, unverifiedDevice, verifiedDevice, type MacsOf } from './device.js'

export type Throttle = ReturnType<typeof createThrottle>

/** Too many logins have failed. The password was not checked, and the attempt is not counted. */
export const ThrottledError = createTooMany('HATCHECK_THROTTLED', 'Too many logins have failed. Please try again in %s.')

/** How many attempts may wait for one account: of strangers, of its known devices, and of its known networks. */
const LONGEST_QUEUE = 8
/** How many device cookies of a request are checked: a sibling domain can plant some, and each costs a MAC. */
const MOST_DEVICES = 8

/** Limits the rate of login attempts by the rules of docs/admission.md. All processes with the same store and realm count together. */
export default fp(async function throttle (fastify) {
  const { config: { now }, storage: { attempts }, workers } = fastify.hatcheck
  fastify.hatcheck.provide('throttle', createThrottle(fastify))
  if (!workers.sweeps) return
  const stopSweeping = startSweeping(() => attempts.sweep(now()), (error) => { fastify.log.warn({ err: error }, 'sweep of failed logins failed') })
  fastify.addHook('onClose', async () => { stopSweeping() })
}, { name: 'throttle', dependencies: ['config', 'storage', 'session', 'cookies', 'audit', 'workers', 'accounts'] })

function createThrottle (fastify: FastifyInstance) {
  const { config: { now, realm }, storage: { attempts }, audit, cookies, accounts, session: { cookieOf, macsFor } } = fastify.hatcheck
  const admission = new Admission({ attempts, now, hash: (text) => hashIn(realm, text) })
  const [familiarQueue, strangerQueue] = [new KeyedQueue(), new KeyedQueue()]
  const macsOf: MacsOf = (text) => macsFor('known device', text)

  /** Puts the rate limit before an authenticator. */
  const throttled = (check: Check): LimitedCheck => async (name, password, request) => {
    const account = accountOf(name)
    const address = clientAddress(request) ?? ''
    const attempt = await admission.attemptOf({ account, device: await presentedDevice(request, name), address })
    // An attempt that is refused anyway must not take a place in the queue.
    if (isRefusal(attempt)) throw refused(attempt)
    const queue = attempt.isFamiliar ? familiarQueue : strangerQueue
    assertPlace(queue, attempt)
    // One after another: an attempt counts as failed until it succeeds, and must not refuse a right password beside it.
    return await queue.run(attempt.queueKey, async () => {
      const refusal = await attempt.admit()
      if (refusal !== null) throw refused(refusal)
      let user
      try {
        user = await check(name, password, request, attempt.isFamiliar)
      } catch (error) {
        await (isRefusedLogin(error) ? attempt.failed() : attempt.withdrawn())
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

  /** Counts a sign-up for its address: otherwise sign-ups would allow attempts without limit. */
  function countSignup (request: FastifyRequest): Promise<void> {
    return admission.countSignup(clientAddress(request) ?? '')
  }

  /**
   * Makes the browser a known device of the account.
   *
   * @param name the name that the user typed
   * @param user the answer of the authenticator
   */
  async function rememberDevice (request: FastifyRequest, reply: FastifyReply, name: string, user: { name: string }): Promise<void> {
    const { attributes } = cookieOf(request)
    const of = { account: accountOf(name), version: await accounts?.versionOf(user) ?? '' }
    cookies.set(reply, deviceCookie(request), newDevice(of, now(), macsOf), { ...attributes, maxAge: DEVICE_SECONDS })
  }

  /** @throws BusyError if the queue is full. */
  function assertPlace (queue: KeyedQueue, { queueKey, isFamiliar }: Attempt): void {
    // hatcheck's own check waits in the queue of hashes. Without a limit on those of an application, one network could guess at any
    // number of accounts at once.
    assertNotBusy(accounts === null ? queue.size : queue.waiting, isFamiliar)
    if (queue.lengthOf(queueKey) >= LONGEST_QUEUE) throw new BusyError()
  }

  async function presentedDevice (request: FastifyRequest, name: string): Promise<string | null> {
    const presented = cookieValues(request.headers.cookie ?? '', deviceCookie(request)).flatMap((value) => unverifiedDevice(value, now()) ?? []).slice(0, MOST_DEVICES)
    if (presented.length === 0) return null
    const of = { account: accountOf(name), version: await accounts?.versionOf({ name }) ?? '' }
    for (const one of presented) {
      const device = verifiedDevice(one, of, macsOf)
      if (device !== null) return device
    }
    return null
  }

  function deviceCookie (request: FastifyRequest): string {
    return `${cookieOf(request).name}-device`
  }

  return { throttled, countSignup, rememberDevice }
}

/** Returns the account key that attempts are counted by, the same for every spelling: otherwise each spelling would allow more guesses. */
function accountOf (name: string): string {
  return accountKey(unifySpelling(name))
}

/** Tells whether an error of the authenticator refuses the login. Any other error says nothing about the password. */
function isRefusedLogin (error: unknown): boolean {
  const { statusCode } = error as { statusCode?: unknown }
  return statusCode === 401 || statusCode === 403
}
