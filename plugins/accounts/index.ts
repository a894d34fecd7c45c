import fp from 'fastify-plugin'
import { Accounts } from './accounts.js'

export type { Accounts } from './accounts.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** hatcheck's own accounts; undefined when the host has brought `authenticate`, or a session store without accounts. */
    accounts: Accounts | undefined
  }
}

export default fp(async function accounts (fastify) {
  const { config, storage } = fastify.hatcheck
  fastify.decorate('accounts', config.authenticate !== undefined || storage.accounts === null
    ? undefined
    : new Accounts({ ...config, accounts: storage.accounts, revokeUser: fastify.sessions.revokeUser }))
}, { name: 'accounts', dependencies: ['config', 'storage', 'session'] })
