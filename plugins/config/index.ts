import fp from 'fastify-plugin'
import type { Mode } from './mode.js'
import type { GivenOptions, ServiceOnlyOptions } from './options.js'
import { misleads, missesPages } from './pages.js'
import { assertDomains, resolveConfig } from './resolve.js'

export interface ConfigPluginOptions {
  hatcheck: { options: GivenOptions & ServiceOnlyOptions, mode: Mode, metricsRoute: boolean, auditLog: boolean }
}

export default fp<ConfigPluginOptions>(async function config (fastify, { hatcheck: { options, mode } }) {
  const config = resolveConfig(options, mode, fastify.prefix)
  await assertDomains(config)
  if (missesPages(config.sessionCookiePath, config)) {
    fastify.log.warn(`The path of the session cookie, ${config.sessionCookiePath}, does not cover the pages of hatcheck under ${config.base}/: browsers do not send the cookie to the logout, which then ends nothing. Leave the path out, unless a proxy changes the paths.`)
  }
  if (misleads(config)) {
    fastify.log.warn(`The path of the pages of hatcheck, ${config.base}, is not fixed: it must have no parameter and none of : * ; ? # and //, or the links of the pages and the redirects to the login page lead nowhere. Register hatcheck under another prefix, or set loginPath and routes.`)
  }
  fastify.hatcheck.provide('config', config)
}, { name: 'config', dependencies: ['groups'] })
