import autoload from '@fastify/autoload'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { join } from 'node:path'
import type { HatcheckOptions } from './plugins/config/options.js'
import type { Mode } from './plugins/config/resolve.js'

export type { HatcheckOptions } from './plugins/config/options.js'
export type { Authenticate, LoginOptions } from './plugins/auth.js'
export type { Accounts } from './plugins/accounts/index.js'
export type { Sessions } from './plugins/session/index.js'
export type { SessionEvent, SessionEvents } from './plugins/session/events.js'
export type { UserSession } from './plugins/session/user-sessions.js'
export type { Flash } from './plugins/session/fields.js'
export { FlashError } from './plugins/flash.js'
export type { User } from './plugins/session/user.js'
export type * from './plugins/session/store.js'
export { TOMBSTONE_MS, continuationOf, excessOf, fieldsWith, sizeOf, successorOf, touched, withChanges } from './plugins/session/store.js'
export { replaceInTwoSteps } from './plugins/session/replace-in-two-steps.js'
export { StoreMethodMissingError, expressStore, type ExpressSessionStore, type ExpressStoreOptions } from './plugins/session/express-store.js'
export {
  InsecureTransportError, LogoutUnconfirmedError, NoCookieError, SessionCommittedError, SessionGoneError, SessionKeyError, SessionNotReadError,
  SessionTooLargeError, SessionValueError, StoreUnavailableError, UnsupportedError
} from './plugins/session/errors.js'
export { LoginRequiredError, NotRegisteredError, requireLogin } from './plugins/auth.js'
export type { SessionObject } from './plugins/session/facade.js'
export type { CookieDescription } from './plugins/session/response.js'

/**
 * Sessions for a Fastify application: `request.session`, `request.user`, `request.login`, `request.logout`, and with
 * `routes: true` the pages `/`, `/login`, `/logout`, `/sessions` and, with accounts of its own, `/password`, and `/verify`
 * for a proxy.
 *
 * @example
 * await app.register(hatcheck, { secretKey: process.env.SECRET_KEY })
 */
const hatcheck = fp<HatcheckOptions>(async function hatcheck (fastify, options) {
  await assemble(fastify, options, { mode: 'plugin', metricsRoute: false })
}, { name: 'hatcheck', fastify: '5.x' })

export default hatcheck
export { hatcheck }

/** What only the service is told. */
export interface ServiceOptions extends HatcheckOptions {
  mode: Exclude<Mode, 'plugin'>
  /**
   * Whether this machine may read the metrics at `/metrics`.
   * @default true
   */
  metricsRoute?: boolean
}

/** The same as a service of its own: what server.ts runs. It has the routes, and answers for every address. */
export const hatcheckService = fp<ServiceOptions>(async function hatcheckService (fastify, { mode, metricsRoute = true, ...options }) {
  await assemble(fastify, { ...options, routes: true }, { mode, metricsRoute })
  const { handleError, handleNotFound, demoError } = fastify.hatcheck
  fastify.setErrorHandler(handleError)
  fastify.setNotFoundHandler((request, reply) => {
    const error = demoError(request)
    if (error !== null) throw error
    return handleNotFound(request, reply)
  })
}, { name: 'hatcheck', fastify: '5.x' })

async function assemble (fastify: FastifyInstance, options: HatcheckOptions, service: { mode: Mode, metricsRoute: boolean }): Promise<void> {
  await fastify.register(autoload, {
    dir: join(import.meta.dirname, 'plugins'),
    dirNameRoutePrefix: false,
    // What is in common is no plugin.
    ignorePattern: /^\/common\//,
    options: { hatcheck: { options, ...service } }
  })
  if (!fastify.hatcheck.config.routes) return
  await fastify.register(autoload, {
    dir: join(import.meta.dirname, 'routes'),
    dirNameRoutePrefix: false,
    autoHooks: true,
    cascadeHooks: true,
    overwriteHooks: true,
    options: { prefix: fastify.hatcheck.config.prefix }
  })
  await fastify.register(fastify.hatcheck.refuseOtherMethods)
}
