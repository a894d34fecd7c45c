import { Accounts } from '../accounts/accounts.js'
import { ConfigError } from '../common/rule.js'
import { UsageError, expectEnd, type Io } from './io.js'
import { readPassword } from './password.js'
import { withStorage } from './storage.js'

/** Runs `hatcheck user …`. */
export async function user ([action = '', name, ...rest]: string[], io: Io): Promise<number> {
  expectEnd(rest)
  if (!['add', 'passwd', 'disable', 'enable', 'list'].includes(action)) throw new UsageError(`unknown command: user ${action}`.trim())
  if (action === 'list' && name !== undefined) expectEnd([name])
  if (action !== 'list' && name === undefined) throw new UsageError(`missing argument: user ${action} NAME`)
  return await withStorage(io, { what: 'accounts', canCreate: action === 'add' }, async ({ sessions, accounts: store }, config) => {
    if (store === null) throw new ConfigError('This store keeps no accounts.')
    const accounts = new Accounts({ ...config, accounts: store, revokeUser: (name) => sessions.removeOfUser(name) })
    io.stdout.write(name === undefined ? await list(accounts) : await change(accounts, action, name, io))
  })
}

async function list (accounts: Accounts): Promise<string> {
  return (await accounts.list()).map(({ name, createdAt, disabled }) =>
    `${name}\t${new Date(createdAt).toISOString()}${disabled ? '\tdisabled' : ''}\n`).join('')
}

/**
 * Runs an action on one account.
 *
 * @returns the line to print.
 */
async function change (accounts: Accounts, action: string, name: string, io: Io): Promise<string> {
  switch (action) {
    case 'add':
      await accounts.add(name, await readPassword(io))
      return `${name} can log in now.\n`
    case 'passwd':
      await accounts.setPassword(name, await readPassword(io))
      return `${name} has a new password; every session is ended.\n`
    case 'disable':
      await accounts.disable(name)
      return `${name} can no longer log in; every session is ended.\n`
    default:
      await accounts.enable(name)
      return `${name} can log in again.\n`
  }
}
