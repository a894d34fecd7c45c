import fp from 'fastify-plugin'
import { assertRegistrable } from '../common/registration.js'
import type { SessionOptions } from '../config/options.js'
import { assertDomains, resolveSessionConfig } from '../config/resolve.js'
import { openCookies } from '../cookies/index.js'
import { createStorage } from '../storage/index.js'
import { createWorkers } from '../workers/index.js'
import { createSessionGroup } from './index.js'

export type { SessionOptions } from '../config/options.js'
export * from './exports.js'

/**
 * Registers sessions without logins in a Fastify application: `request.session`, `request.loadSession` and `app.sessions`. It adds
 * no pages and no other decoration.
 *
 * @throws ConfigError with the rule that is broken.
 * @example
 * await app.register(hatcheckSession, { secretKey: process.env.SECRET_KEY, sessionStore: 'redis://127.0.0.1' })
 */
const hatcheckSession = fp<SessionOptions>(async function hatcheckSession (fastify, options) {
  assertRegistrable(fastify, ['sessions'])
  const config = resolveSessionConfig(options, fastify.prefix)
  await assertDomains(config)
  const workers = createWorkers(config)
  const storage = await createStorage({ config, workers, log: fastify.log })
  fastify.addHook('onClose', () => storage.close())
  await createSessionGroup(fastify, { config, storage, workers, cookies: await openCookies(fastify) })
}, { name: 'hatcheck/session', fastify: '5.x' })

export default hatcheckSession
export { hatcheckSession }
