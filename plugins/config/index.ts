import fp from 'fastify-plugin'
import type { GivenOptions } from './options.js'
import { resolveConfig, type Config, type Mode, type ServiceOnlyOptions } from './resolve.js'

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
  fastify.decorate('hatcheck', { config: resolveConfig(options, mode, fastify.prefix) } as import('fastify').Hatcheck)
}, { name: 'config' })
