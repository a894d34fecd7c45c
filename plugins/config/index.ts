import fp from 'fastify-plugin'
import type { GivenOptions } from './options.js'
import { assertDomains, resolveConfig, type Config, type Mode, type ServiceOnlyOptions } from './resolve.js'

declare module 'fastify' {
  /** What hatcheck's own plugins and routes share. Each adds its part; nothing here is for host applications. */
  interface Hatcheck {
    config: Config
  }
  interface FastifyInstance {
    hatcheck: Hatcheck
  }
}

export interface ConfigPluginOptions {
  hatcheck: { options: GivenOptions & ServiceOnlyOptions, mode: Mode, metricsRoute: boolean, auditLog: boolean }
}

export default fp<ConfigPluginOptions>(async function config (fastify, { hatcheck: { options, mode } }) {
  const config = resolveConfig(options, mode, fastify.prefix)
  await assertDomains(config)
  fastify.decorate('hatcheck', { config } as import('fastify').Hatcheck)
}, { name: 'config' })
