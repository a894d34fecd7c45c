import fp from 'fastify-plugin'
import type { Decorated } from '../common/decorators.js'
import { Accounts } from './accounts.js'
import { endIfRemembered } from './end-sessions.js'

export type { Accounts } from './accounts.js'

interface InstanceMembers {
  /** hatcheck's own accounts; undefined if the application passes `authenticate` or a session store without accounts. */
  accounts: Accounts | undefined
}

declare module 'fastify' {
  interface FastifyInstance extends Decorated<InstanceMembers> {}
}

export default fp(async function accounts (fastify) {
  const { config, storage, decorations: { decorate } } = fastify.hatcheck
  const accounts = config.authenticate !== undefined || storage.accounts === null
    ? null
    : new Accounts({ ...config, accounts: storage.accounts, revokeUser: (name) => endIfRemembered(() => fastify.sessions.revokeUser(name)) })
  fastify.hatcheck.provide('accounts', accounts)
  decorate('accounts', accounts ?? undefined)
}, { name: 'accounts', dependencies: ['config', 'decorations', 'storage', 'session'] })
