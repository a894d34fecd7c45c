import fp from 'fastify-plugin'
import type { Decorated } from '../common/decorators.js'
import { guarded } from '../store/errors.js'
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
  const revokeUser = (name: string, realm: string): Promise<number> => endIfRemembered(() => realm === config.realm
    ? fastify.sessions.revokeUser(name)
    : guarded('revoke', () => storage.sessionsIn(realm).removeOfUser(name)))
  const accounts = config.authenticate !== undefined || storage.accounts === null
    ? null
    : new Accounts({ ...config, accounts: storage.accounts, revokeUser })
  // If the store cannot answer yet, a login notes it.
  await accounts?.noteRealm().catch(() => {})
  fastify.hatcheck.provide('accounts', accounts)
  decorate('accounts', accounts ?? undefined)
}, { name: 'accounts', dependencies: ['config', 'decorations', 'storage', 'session'] })
