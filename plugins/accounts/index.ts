import fp from 'fastify-plugin'
import type { Decorated } from '../common/decorators.js'
import { Accounts } from './accounts.js'

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
    : new Accounts({ ...config, accounts: storage.accounts, revokeUser: config.sessionRevocation === 'none' ? revokeNothing : fastify.sessions.revokeUser })
  fastify.hatcheck.provide('accounts', accounts)
  decorate('accounts', accounts ?? undefined)
}, { name: 'accounts', dependencies: ['config', 'decorations', 'storage', 'session'] })

/** hatcheck does not remember which sessions have ended: the log says at the start that a new password ends no session. */
async function revokeNothing (): Promise<number> {
  return 0
}
