import type { FastifyBaseLogger, FastifyInstance, FastifyTypeProvider, RawServerBase } from 'fastify'
import fp from 'fastify-plugin'
import { join, parse } from 'node:path'
import type { ConfigPluginOptions } from './plugins/config/index.js'
import type { Mode } from './plugins/config/mode.js'
import type { GivenOptions, HatcheckOptions, ServiceOnlyOptions } from './plugins/config/options.js'
import { ownFolder } from './plugins/config/own-folder.js'
import { unlessInstalled } from './plugins/common/not-installed.js'
import { assertRegistrable } from './plugins/common/registration.js'
import { ROUTE_NAMES, type RouteName } from './plugins/config/route-names.js'

export type { HatcheckOptions } from './plugins/config/options.js'
export type { RouteName } from './plugins/config/route-names.js'
export type { Decorators } from './plugins/common/decorators.js'
export type { Authenticate, Authenticated } from './plugins/accounts/authenticator.js'
export type { LoginOptions } from './plugins/login/index.js'
export type { Accounts } from './plugins/accounts/index.js'
export type { Flash } from './plugins/session/request/flash-messages.js'
export { NotRegisteredError } from './plugins/common/registration.js'
export { FlashError } from './plugins/flash.js'
export type { User } from './plugins/session/model/user.js'
export * from './plugins/session/exports.js'
export type { Account, AccountStore } from './plugins/store/accounts.js'
export { DamagedAccountError } from './plugins/store/errors.js'
export type { AttemptStore } from './plugins/store/attempts.js'
export { counted, uncounted, waitOf, type Counter, type Policy } from './plugins/store/attempt-policy.js'
export { AccountExistsError, NoSuchAccountError } from './plugins/accounts/accounts.js'
export { BusyError, PasswordError } from './plugins/accounts/password.js'
export { NameError } from './plugins/accounts/name.js'
export { CrossOriginError, refuseCrossOrigin } from './plugins/guards/cross-origin.js'
export { CredentialsError, LoginRequiredError, WrongCredentialsError } from './plugins/login/errors.js'
export { requireLogin } from './plugins/login/guard.js'
export { nextPageOf } from './plugins/login/next.js'
export { ThrottledError } from './plugins/throttle/index.js'

declare module 'fastify' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- the parameters of an interface are the same in each part of it
  interface FastifyRegister<T, RawServer extends RawServerBase, TypeProviderDefault extends FastifyTypeProvider, LoggerDefault extends FastifyBaseLogger> {
    /** With Fastify's own type of the options, `prefix: undefined` would be an error under `exactOptionalPropertyTypes`. */
    (plugin: typeof hatcheck | Promise<{ default: typeof hatcheck }>, options: HatcheckOptions | ((instance: FastifyInstance) => HatcheckOptions)): T
  }
}

/**
 * Registers hatcheck in a Fastify application: `request.session`, `request.user`, `request.login`, `request.logout`, and with `routes`
 * the pages `/login`, `/logout`, `/sessions` and, with accounts of its own, `/password`, a start page, and `/verify` for a
 * proxy.
 *
 * @example
 * await app.register(hatcheck, { secretKey: process.env.SECRET_KEY })
 */
const hatcheck = fp<HatcheckOptions>(async function hatcheck (fastify, options) {
  await assemble(fastify, options, { mode: 'plugin', metricsRoute: false, auditLog: true })
}, { name: 'hatcheck', fastify: '5.x' })

export default hatcheck
export { hatcheck }

/**
 * The settings of the service: the options, and a few that only the service has. It has no `routes` and no `prefix`, because it
 * serves all pages, at the root.
 */
export interface ServiceOptions extends Omit<GivenOptions, 'routes' | 'prefix'>, ServiceOnlyOptions {
  /** Demo mode serves this machine alone, with other defaults: a login with a new name creates the account. */
  mode: Exclude<Mode, 'plugin'>
  /**
   * Whether this machine may read the metrics at `/metrics`.
   * @default true
   */
  metricsRoute?: boolean
  /**
   * Whether security events are logged, at every level of the log.
   * @default true
   */
  auditLog?: boolean
}

/** Registers hatcheck as the service, for server.ts: with all routes, and an answer for every path. */
export const hatcheckService = fp<ServiceOptions>(async function hatcheckService (fastify, { mode, metricsRoute = true, auditLog = true, ...options }) {
  await assemble(fastify, options, { mode, metricsRoute, auditLog })
  const { http: { handleError }, guards: { otherMethods } } = fastify.hatcheck
  fastify.setErrorHandler(handleError)
  if (otherMethods !== undefined) await fastify.register(otherMethods.refuseOtherMethods)
}, { name: 'hatcheck', fastify: '5.x' })

async function assemble (fastify: FastifyInstance, options: GivenOptions, service: Omit<ConfigPluginOptions['hatcheck'], 'options'>): Promise<void> {
  assertRegistrable(fastify)
  const folder = ownFolder(import.meta.dirname)
  const { default: autoload } = await import('@fastify/autoload').catch(unlessInstalled('@fastify/autoload'))
  await fastify.register(autoload, {
    dir: join(folder, 'plugins'),
    dirNameRoutePrefix: false,
    // These folders have no plugins.
    ignorePattern: /^(?:cli|common|process|store|testing|tickets|storage\/[a-z]+)$/,
    options: { hatcheck: { options, ...service } }
  })
  const { config } = fastify.hatcheck
  if (!config.hasRoutes) return
  const { mode, prefix, hasRoute } = config
  const { prepareOwnRoutes } = await import('./plugins/http/own-routes.js')
  // Not by autohooks, which make a scope for each folder: with one for all, registering takes a fifth less.
  await fastify.register(async function ownRoutes (scope) {
    await prepareOwnRoutes(scope)
    await scope.register(autoload, {
      dir: join(folder, 'routes'),
      dirNameRoutePrefix: false,
      ignorePattern: /^verify$/,
      matchFilter: (path) => mode !== 'plugin' || isChosen(path, hasRoute)
    })
  }, { prefix })
  // A proxy has no use for headers meant for browsers, and the application behind it checks the origin of a request.
  if (hasRoute('verify')) await fastify.register(import('./routes/verify/index.js'), { prefix })
}

/** Tells whether an application has chosen the page in a file such as `/login/index.ts`. Everything else in `routes/` is for the service. */
function isChosen (path: string, hasRoute: (route: RouteName) => boolean): boolean {
  const { name } = parse(path.split('/')[1] ?? '')
  return ROUTE_NAMES.some((route) => route === name && hasRoute(route))
}
