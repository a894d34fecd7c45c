import fp from 'fastify-plugin'
import type { HatcheckOptions } from './options.js'
import { resolveConfig, type Config, type Mode } from './resolve.js'

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
  hatcheck: { options: HatcheckOptions, mode: Mode, metricsRoute: boolean }
}

export default fp<ConfigPluginOptions>(async function config (fastify, { hatcheck: { options, mode } }) {
  fastify.decorate('hatcheck', { config: resolveConfig(options, mode) } as import('fastify').Hatcheck)
}, { name: 'config' })
