import { findAccount } from '../accounts/accounts.js'
import { errorText } from '../common/error-text.js'
import { iso } from '../common/iso.js'
import type { Config } from '../config/resolve.js'
import { endSessionOfUser, sessionsOfUser } from '../session/outside/user-sessions.js'
import type { Storage } from '../storage/common/storage.js'
import { UsageError, expectEnd, type Io } from './io.js'
import { handlesOf, withStorage } from './storage.js'

/** Runs `hatcheck sessions …`. */
export async function sessions ([action = '', name, ...rest]: string[], io: Io): Promise<number> {
  if (!['list', 'revoke', 'revoke-all'].includes(action)) throw new UsageError(`unknown command: sessions ${action}`.trim())
  const handle = action === 'revoke' ? rest.shift() : undefined
  expectEnd(rest)
  if (action === 'revoke' && handle === undefined) throw new UsageError('missing argument: sessions revoke NAME HANDLE')
  return await withStorage(io, { what: 'sessions' }, async (storage, config) => {
    const users = await usersCalled(storage, name)
    if (users.length === 0) io.stderr.write(`hatcheck: this store has no accounts. For the users of an application with its own authenticate, run sessions ${action} NAME.\n`)
    if (action === 'list') await list(users, storage, config, io)
    else if (handle !== undefined) await revoke(users[0] ?? '', handle, storage, config, io)
    else await revokeAll(users, storage, io)
  })
}

async function list (users: readonly string[], { sessions: store }: Storage, config: Config, io: Io): Promise<void> {
  const context = { ...config, store, handleOf: handlesOf(config) }
  const done = await eachUser(users, io, async (user) => {
    for (const { handle, createdAt, seenAt, client, address, permanent } of await sessionsOfUser(user, context)) {
      const times = [createdAt, seenAt].map(iso)
      io.stdout.write(`${[handle, user, ...times, client, address, ...permanent ? ['permanent'] : []].join('\t')}\n`)
    }
  })
  assertAll(users, done)
}

async function revoke (user: string, handle: string, { sessions: store }: Storage, config: Config, io: Io): Promise<void> {
  if (await endSessionOfUser(user, handle, { ...config, store, handleOf: handlesOf(config) }) === null) throw new Error(`${user} has no session ${handle}.`)
  io.stdout.write('1 session ended.\n')
}

async function revokeAll (users: readonly string[], { sessions: store, carried }: Storage, io: Io): Promise<void> {
  let count = 0
  const done = await eachUser(users, io, async (user) => { await store.removeOfUser(user, undefined, () => { count++ }) })
  // Nobody knows how many sessions are in cookies.
  const isCounted = carried === undefined || users.length === 0
  if (isCounted) io.stdout.write(`${count} session${count === 1 ? '' : 's'} ended.\n`)
  else if (done.length > 0) io.stdout.write(`every session of ${done.join(', ')} has ended.\n`)
  assertAll(users, done)
}

/**
 * Works for each user, even if that fails for another: the index of one may be damaged. Writes each failure to standard error, but
 * throws that of the only user.
 *
 * @returns the users for whom it worked.
 */
async function eachUser (users: readonly string[], io: Io, work: (user: string) => Promise<void>): Promise<string[]> {
  const done: string[] = []
  for (const user of users) {
    try {
      await work(user)
      done.push(user)
    } catch (error) {
      if (users.length === 1) throw error
      io.stderr.write(`hatcheck: ${user}: ${errorText(error)}\n`)
    }
  }
  return done
}

function assertAll (users: readonly string[], done: readonly string[]): void {
  if (done.length < users.length) throw new Error(`The command failed for ${users.length - done.length} of ${users.length} accounts.`)
}

/** Finds the name as the account spells it, whatever its case; without a name, lists every account. */
async function usersCalled ({ accounts }: Storage, name: string | undefined): Promise<string[]> {
  if (name === undefined) return (await accounts?.list() ?? []).map((account) => account.name)
  const account = accounts === null ? null : await findAccount(accounts, name)
  // An application with its own users has sessions in the store, and no accounts.
  return [account?.name ?? name]
}
