import Fastify from 'fastify'
import { hatcheckService } from '../../app.js'
import { newSecret } from '../../plugins/tickets/secrets.js'
import type { Contract } from './contract.js'

let loading: Promise<Contract> | undefined
let contract: Contract | undefined

/** Loads the OpenAPI document of the service, once in a process. */
export function serviceContract (): Promise<Contract> {
  loading ??= load()
  return loading
}

/** Returns the document if it is already loaded. */
export function loadedContract (): Contract | undefined {
  return contract
}

async function load (): Promise<Contract> {
  // A busy machine needs more time.
  const fastify = Fastify({ pluginTimeout: 0 })
  await fastify.register(hatcheckService, { mode: 'demo', sessionStore: 'memory:', secretKey: newSecret() })
  await fastify.ready()
  // Loads Ajv too, which most test files do not need.
  const { Contract } = await import('./contract.js')
  contract = new Contract(JSON.parse(await fastify.hatcheck.openapi.document?.() ?? ''))
  await fastify.close()
  return contract
}
