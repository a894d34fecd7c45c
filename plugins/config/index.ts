import fp from 'fastify-plugin'
import type { GivenOptions } from './options.js'
import { assertDomains, resolveConfig, type Mode, type ServiceOnlyOptions } from './resolve.js'

export interface ConfigPluginOptions {
  hatcheck: { options: GivenOptions & ServiceOnlyOptions, mode: Mode, metricsRoute: boolean, auditLog: boolean }
}

export default fp<ConfigPluginOptions>(async function config (fastify, { hatcheck: { options, mode } }) {
  const config = resolveConfig(options, mode, fastify.prefix)
  await assertDomains(config)
  fastify.hatcheck.provide('config', config)
}, { name: 'config', dependencies: ['groups'] })
