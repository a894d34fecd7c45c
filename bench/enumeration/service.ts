import Fastify, { type FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'
import { hatcheckService } from '../../app.js'
import { newSecret } from '../../plugins/tickets/secrets.js'
import { endWithParent } from '../processes.js'
import { RIGHT } from './login.js'

// The service, with the accounts Harry and Sally: tsx service.ts <folder>. It tells its port, and moves its clock on with each
// message. It lives as long as its parent.

/** The throttle forgets every failure in this time. */
const LATER_MS = 2 * 3_600_000

const [,, folder = ''] = process.argv
let aheadMs = 0
const fastify = Fastify({ logger: false }) as unknown as FastifyInstance
endWithParent(async () => { await fastify.close() })
await fastify.register(hatcheckService, {
  mode: 'service',
  secretKey: newSecret(),
  sessionStore: `lmdb:${folder}`,
  sessionCookieSecure: 'auto',
  // The clock moves on by months.
  sessionLifetime: 400 * 86_400,
  sessionIdleTimeout: 400 * 86_400,
  now: () => Date.now() + aheadMs
})
await fastify.ready()
for (const name of ['Harry', 'Sally']) await fastify.accounts?.add(name, RIGHT)
await fastify.accounts?.disable('Sally')
process.on('message', () => {
  aheadMs += LATER_MS
  process.send?.('moved on')
})
await fastify.listen({ host: '127.0.0.1', port: 0 })
process.send?.((fastify.server.address() as AddressInfo).port)
