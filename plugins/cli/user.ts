import { Accounts } from '../accounts/accounts.js'
import { endIfRemembered } from '../accounts/end-sessions.js'
import { newName } from '../accounts/name.js'
import { assertNewPassword } from '../accounts/password.js'
import { iso } from '../common/iso.js'
import { ConfigError } from '../common/rule.js'
import { UsageError, expectEnd, type Io } from './io.js'
import { readPassword } from './password.js'
import { withStorage, type StorageAccess } from './storage.js'

/** Runs `hatcheck user …`. */
export async function user ([action = '', name, ...rest]: string[], io: Io): Promise<number> {
  if (!['add', 'passwd', 'disable', 'enable', 'list'].includes(action)) throw new UsageError(`unknown command: user ${action}`.trim())
  // It may be the password, which must not get into the log of a script.
  if ((action === 'add' || action === 'passwd') && rest.length > 0) {
    throw new UsageError(`user ${action} takes only a name, in quotes if it has spaces. The password is asked for, or read from standard input.`)
  }
  expectEnd(action === 'list' && name !== undefined ? [name] : rest)
  if (action !== 'list' && name === undefined) throw new UsageError(`missing argument: user ${action} NAME`)
  let typed: string | undefined
  const password = async (): Promise<string> => {
    typed ??= await readPassword(io)
    return typed
  }
  const access: StorageAccess = { what: 'accounts' }
  if (action === 'add') {
    // A command that is refused leaves no store behind.
    access.beforeCreation = async (config) => { await assertNewPassword(await password(), newName(name), config) }
  }
  return await withStorage(io, access, async ({ sessionsIn, accounts: store }, config) => {
    if (store === null) throw new ConfigError('This store keeps no accounts.')
    const accounts = new Accounts({ ...config, accounts: store, revokeUser: (name, realm) => endIfRemembered(async () => await sessionsIn(realm).removeOfUser(name)) })
    io.stdout.write(name === undefined ? await list(accounts) : await change(accounts, action, name, password, config.sessionRevocation === 'none' ? '' : '; every session has ended'))
  })
}

async function list (accounts: Accounts): Promise<string> {
  return (await accounts.list()).map(({ name, createdAt, disabled }) =>
    `${name}\t${iso(createdAt)}${disabled ? '\tdisabled' : ''}\n`).join('')
}

/**
 * Runs an action on one account.
 *
 * @param password asks for the password
 * @param ended what the action says of the sessions
 * @returns the line to print.
 */
async function change (accounts: Accounts, action: string, name: string, password: () => Promise<string>, ended: string): Promise<string> {
  switch (action) {
    case 'add':
      await accounts.add(name, await password())
      return `${name} can log in now.\n`
    case 'passwd':
      await accounts.setPassword(name, await password())
      return `${name} has a new password${ended}.\n`
    case 'disable':
      await accounts.disable(name)
      return `${name} can no longer log in${ended}.\n`
    default:
      await accounts.enable(name)
      return `${name} can log in again.\n`
  }
}
