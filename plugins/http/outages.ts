import type { FastifyBaseLogger, FastifyError, FastifyInstance } from 'fastify'
import { repeat } from '../common/repeat.js'

/** How often hatcheck looks whether an outage is over. */
const LOOK_EVERY_MS = 1_000
/**
 * An outage is over after this long without a failure, in ms. A store with a full disk answers its ping, and fails again at
 * the next login.
 */
const QUIET_MS = 60_000
/** The same for a store that did not answer its ping and does again. */
const QUIET_AFTER_RETURN_MS = 1_000

interface Outage {
  failures: number
  readonly begunAt: number
  lastAt: number
  /** Whether the store has failed to answer a ping meanwhile. */
  isStoreGone: boolean
}

const STORE = 'HATCHECK_STORE_UNAVAILABLE'
/** Errors with the same cause. */
const SAME: Record<string, string> = { HATCHECK_LOGOUT_UNCONFIRMED: STORE }
/** Not failures: the service stops, which the log has said, or refuses load, which a metric counts. */
const INTENDED = new Set(['HATCHECK_STOPPING', 'HATCHECK_OVERLOADED'])

/**
 * Makes a function that logs errors with status 503: the first of its kind in full, and at the end of the outage how many
 * there were.
 */
export function createOutageLog (fastify: FastifyInstance): (error: FastifyError, log: FastifyBaseLogger) => void {
  const { storage } = fastify.hatcheck
  const outages = new Map<string, Outage>()
  let stopLooking: (() => void) | undefined

  function noteOutage (error: FastifyError, log: FastifyBaseLogger): void {
    const kind = SAME[error.code] ?? error.code
    const now = performance.now()
    const known = outages.get(kind)
    if (INTENDED.has(kind) || known !== undefined) {
      log.debug({ code: error.code }, error.message)
      if (known === undefined) return
      known.failures++
      known.lastAt = now
      return
    }
    outages.set(kind, { failures: 1, begunAt: now, lastAt: now, isStoreGone: false })
    if (kind === STORE) log.error({ err: error }, `${error.message} Until it can, further failures are counted and not logged.`)
    else log.warn({ code: error.code }, `${error.message} Further answers like this one are counted and not logged.`)
    stopLooking ??= repeat(LOOK_EVERY_MS, look)
  }

  async function look (): Promise<void> {
    for (const [kind, outage] of outages) {
      const isReachable = kind !== STORE || await storage.ping().then(() => true, () => false)
      outage.isStoreGone ||= !isReachable
      if (isReachable && performance.now() - outage.lastAt >= (outage.isStoreGone ? QUIET_AFTER_RETURN_MS : QUIET_MS)) end(kind, outage)
    }
  }

  function end (code: string, { failures, begunAt, lastAt }: Outage): void {
    outages.delete(code)
    if (outages.size === 0) {
      stopLooking?.()
      stopLooking = undefined
    }
    const seconds = Math.ceil((lastAt - begunAt) / 1_000)
    fastify.log.warn({ code, failures, seconds }, code === STORE ? 'the session store answers again' : 'requests are no longer refused with this code')
  }

  fastify.addHook('onClose', async () => {
    stopLooking?.()
    for (const [code, { failures }] of outages) fastify.log.warn({ code, failures }, 'the process ends while requests still fail with this code')
  })

  return noteOutage
}
