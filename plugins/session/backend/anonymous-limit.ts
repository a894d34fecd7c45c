import type { FastifyRequest } from 'fastify'
import { clientAddress } from '../../common/client-address.js'
import { createTooMany } from '../../common/http-errors.js'
import { networksOf } from '../../common/network.js'

/** Too many anonymous sessions have begun in one network. Nothing is stored. */
export const TooManySessionsError = createTooMany('HATCHECK_TOO_MANY_SESSIONS',
  'Too many anonymous sessions have begun in your network. Log in, or try again in %s.')

const WINDOW_MS = 60_000
/** How many networks have a count of their own within one minute. All others share one. */
const MAX_NETWORKS = 10_000

/**
 * Limits how many anonymous sessions begin per minute and network, in this process. A client with one address often has its
 * neighbors too, so a network is a /24 of IPv4 or a /56 of IPv6.
 */
export class AnonymousLimit {
  readonly #perMinute: number
  readonly #now: () => number
  readonly #counts = new Map<string, number>()
  #windowEndsAt = 0

  constructor (perMinute: number, now: () => number) {
    this.#perMinute = perMinute
    this.#now = now
  }

  /** Counts a session that is about to begin. @throws TooManySessionsError with Retry-After */
  count (request: FastifyRequest): void {
    if (this.#perMinute === Infinity) return
    const left = this.#msLeft()
    const network = this.#networkOf(request)
    const count = this.#counts.get(network) ?? 0
    if (count >= this.#perMinute) throw new TooManySessionsError(Math.ceil(left / 1_000))
    this.#counts.set(network, count + 1)
  }

  #networkOf (request: FastifyRequest): string {
    const { site, block } = networksOf(clientAddress(request) ?? '')
    const network = site ?? block
    return this.#counts.has(network) || this.#counts.size < MAX_NETWORKS ? network : 'others'
  }

  /** Returns how much of the window is left. A new window begins when the clock has left the last one in either direction. */
  #msLeft (): number {
    const now = this.#now()
    if (now >= this.#windowEndsAt || now < this.#windowEndsAt - WINDOW_MS) {
      this.#counts.clear()
      this.#windowEndsAt = now + WINDOW_MS
    }
    return this.#windowEndsAt - now
  }
}
