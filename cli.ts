#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { parseArgs } from 'node:util'
import { Accounts, findAccount } from './plugins/accounts/accounts.js'
import type { AccountStore } from './plugins/accounts/store.js'
import { loadDotEnv, readEnvironment } from './plugins/config/environment.js'
import { ConfigError, resolveConfig, type Config } from './plugins/config/resolve.js'
import { keyFileOf, newSecret, secretsOf } from './plugins/session/secrets.js'
import { createTicketOffice } from './plugins/session/ticket.js'
import { endSessionOfUser, sessionsOfUser } from './plugins/session/user-sessions.js'
import { backUp } from './plugins/storage/backup.js'
import { lmdbFolder, openStorage } from './plugins/storage/open.js'
import { isRedisUrl } from './plugins/storage/redis-url.js'
import type { Storage, StorageLog } from './plugins/storage/storage.js'

const HELP = `hatcheck: logins and sessions for any web application

Usage
  hatcheck                     start the service; also: hatcheck serve
  hatcheck secret              print a new SECRET_KEY
  hatcheck user add NAME       create an account; the password is asked for, or read from standard input
  hatcheck user passwd NAME    set another password and end every session of the account
  hatcheck user disable NAME   keep the account from logging in and end every session of it
  hatcheck user enable NAME    let the account log in again; it has no session before that
  hatcheck user list           list the accounts

  hatcheck sessions list [NAME]          list the sessions of an account; without a name, of every account
  hatcheck sessions revoke NAME HANDLE   end one session of an account
  hatcheck sessions revoke-all [NAME]    end every session of an account; without a name, of every account

  hatcheck backup FOLDER       copy the accounts, also while the service runs, to a new folder, which can be a DATA_DIR.
                               Neither sessions nor the secret key: what has ended stays ended after a restore

Options
  -h, --help                   print this
  -v, --version                print the version

Environment (also from a file .env in this folder)
  HOST, PORT                   where to listen                          127.0.0.1, 3000
  DATA_DIR                     LMDB files and the generated key         ./data
  SECRET_KEY                   signs the cookies, 32 bytes or more      made and kept in DATA_DIR on loopback
  SESSION_STORE                memory:, lmdb:./folder or redis://…      lmdb: in DATA_DIR
  SIGNUP                       open: a new name becomes an account      closed; open in demo mode
  TRUST_PROXY                  proxies whose headers are believed       none
  WORKERS                      processes that serve                     1
  METRICS_PORT                 metrics for Prometheus, at HOST          /metrics, for this machine alone
  LOG_LEVEL                    fatal, error, warn, info, debug, trace   info
  The README lists the others.

The user, sessions and backup commands work on the same DATA_DIR and SESSION_STORE as the service, also while it runs.
Handles are those on its pages and in its log, so "list" and "revoke" need the same SECRET_KEY.
Sessions are those of one realm: a service with a REALM or SESSION_COOKIE_NAME needs the same one here.

Examples
  hatcheck                                                 try it: http://127.0.0.1:3000, demo mode
  SECRET_KEY=$(hatcheck secret) SIGNUP=closed hatcheck     no demo mode: accounts from "user add" only
  echo "$PASSWORD" | hatcheck user add harry               for scripts
`

/** What a store has to say. */
const LOG: StorageLog = {
  info () {},
  warn (details: unknown, text?: string) { process.stderr.write(`hatcheck: ${text ?? String(details)}\n`) }
}

/** A command line that means nothing. */
class UsageError extends Error {}

try {
  process.exitCode = await main(process.argv.slice(2)) ?? 0
} catch (error) {
  const hint = error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true
  process.stderr.write(`hatcheck: ${(error as Error).message}\n${hint ? 'Try "hatcheck --help".\n' : ''}`)
  process.exitCode = 1
}

async function main (args: string[]): Promise<number | undefined> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } }
  })
  const [command = 'serve', ...rest] = positionals
  if (values.help === true || command === 'help') return print(HELP)
  if (values.version === true) return print(`${version()}\n`)
  switch (command) {
    case 'serve': {
      expectEnd(rest)
      const { serve } = await import('./server.js')
      await serve()
      return Number(process.exitCode ?? 0)
    }
    case 'secret':
      expectEnd(rest)
      return print(`${newSecret()}\n`)
    case 'user':
      return await user(rest)
    case 'sessions':
      return await sessions(rest)
    case 'backup':
      return await backup(rest)
    default:
      throw new UsageError(`there is no command "${command}"`)
  }
}

async function user ([action, name, ...rest]: string[]): Promise<undefined> {
  expectEnd(rest)
  if (!['add', 'passwd', 'disable', 'enable', 'list'].includes(action ?? '')) throw new UsageError(`there is no command "user ${action ?? ''}"`)
  if ((name === undefined) !== (action === 'list')) throw new UsageError(action === 'list' ? '"user list" takes no name' : `"user ${action}" needs a name`)
  await withAccounts(async (accounts) => {
    switch (action) {
      case 'add':
        await accounts.add(name as string, await askPassword())
        return print(`${name} can log in now.\n`)
      case 'passwd':
        await accounts.setPassword(name as string, await askPassword())
        return print(`${name} has another password; every session is ended.\n`)
      case 'disable':
        await accounts.disable(name as string)
        return print(`${name} cannot log in any more; every session is ended.\n`)
      case 'enable':
        await accounts.enable(name as string)
        return print(`${name} can log in again.\n`)
      case 'list':
        for (const account of await accounts.list()) {
          print(`${account.name}\t${new Date(account.createdAt).toISOString()}${account.disabled ? '\tdisabled' : ''}\n`)
        }
    }
  })
}

async function sessions ([action, name, ...rest]: string[]): Promise<undefined> {
  if (!['list', 'revoke', 'revoke-all'].includes(action ?? '')) throw new UsageError(`there is no command "sessions ${action ?? ''}"`)
  const handle = action === 'revoke' ? rest.shift() : undefined
  expectEnd(rest)
  if (action === 'revoke' && handle === undefined) throw new UsageError('"sessions revoke" needs a name and a handle')
  await withStorage('sessions', async (storage, config) => {
    const { sessions: store } = storage
    const names = await namesOf(storage, name)
    if (action === 'revoke-all') {
      let count = 0
      for (const user of names) count += await store.removeOfUser(user)
      return print(`${count} session${count === 1 ? '' : 's'} ended.\n`)
    }
    const context = { ...config, store, handleOf: handlesOf(config) }
    if (action === 'revoke') {
      const [user = ''] = names
      if (await endSessionOfUser(user, handle ?? '', context) === null) throw new Error(`${user} has no session ${handle}.`)
      return print('1 session ended.\n')
    }
    for (const user of names) {
      for (const { handle, createdAt, seenAt, client, address, permanent } of await sessionsOfUser(user, context)) {
        const times = [createdAt, seenAt].map((time) => new Date(time).toISOString())
        print(`${[handle, user, ...times, client, address, ...permanent ? ['permanent'] : []].join('\t')}\n`)
      }
    }
  })
}

async function backup ([folder, ...rest]: string[]): Promise<undefined> {
  expectEnd(rest)
  if (folder === undefined || folder === '') throw new UsageError('"backup" needs a folder')
  const { sessionStore, dataDir } = configuration()
  const store = String(sessionStore)
  if (isRedisUrl(store)) throw new ConfigError('SESSION_STORE is Redis, which has backups of its own; "backup" is for LMDB.')
  const source = store.startsWith('lmdb:') ? lmdbFolder(store, dataDir) : null
  // Opening would make one, and the backup of nothing would pass for one.
  if (source !== null && !existsSync(join(source, 'data.mdb'))) throw new ConfigError(`${source} has nothing to back up: check DATA_DIR and SESSION_STORE.`)
  await withStorage('accounts', async ({ accounts }, { now, sessionMaxBytes: maxBytes }) => {
    const count = await backUp(accounts as AccountStore, resolve(folder), { now, maxBytes }, LOG)
    print(`${count} account${count === 1 ? '' : 's'} backed up.\n`)
  })
}

/** The name as the sessions have it, however it was typed; without one, that of every account. */
async function namesOf ({ accounts }: Storage, name: string | undefined): Promise<string[]> {
  if (name === undefined) return (await accounts?.list() ?? []).map((account) => account.name)
  const account = accounts === null ? null : await findAccount(accounts, name)
  // An application that knows its users itself keeps no accounts here, but their sessions.
  return [account?.name ?? name]
}

/** By the key of the service. */
function handlesOf (config: Config): (key: string) => string {
  const file = keyFileOf(config)
  // Only the service makes one: another key would give other handles.
  if (file !== undefined && !existsSync(file)) throw new ConfigError(`${file} is not there: the service makes it at its first start.`)
  return createTicketOffice(secretsOf(config), config.realm).handleOf
}

async function withAccounts (work: (accounts: Accounts) => Promise<unknown>): Promise<void> {
  await withStorage('accounts', async (storage, config) => {
    const { sessions, accounts } = storage
    if (accounts === null) throw new ConfigError('This store keeps no accounts.')
    await work(new Accounts({ ...config, accounts, revokeUser: (name) => sessions.removeOfUser(name) }))
  })
}

/** @param what the command works on */
async function withStorage (what: string, work: (storage: Storage, config: Config) => Promise<unknown>): Promise<void> {
  const config = configuration()
  if (config.sessionStore === 'memory:') throw new ConfigError(`SESSION_STORE is memory:, where only the running service has its ${what}.`)
  const storage = await openStorage(config, LOG)
  try {
    await work(storage, config)
  } finally {
    await storage.close()
  }
}

function configuration (): Config {
  loadDotEnv()
  const { options, mode } = readEnvironment(process.env)
  return resolveConfig(options, mode)
}

/** Asked for without an echo at a terminal, twice; the first line of standard input otherwise. */
async function askPassword (): Promise<string> {
  if (!process.stdin.isTTY) {
    const { value, done } = await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next()
    if (done === true) throw new UsageError('a password is expected on standard input')
    return value
  }
  const silent = new Writable({ write (_chunk, _encoding, done) { done() } })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    process.stderr.write('Password: ')
    const password = await terminal.question('')
    process.stderr.write('\nAgain: ')
    const again = await terminal.question('')
    process.stderr.write('\n')
    if (password !== again) throw new UsageError('the two are not the same')
    return password
  } finally {
    terminal.close()
  }
}

function expectEnd ([extra]: string[]): void {
  if (extra !== undefined) throw new UsageError(`"${extra}" is one word too many`)
}

function print (text: string): undefined {
  process.stdout.write(text)
}

function version (): string {
  return (createRequire(import.meta.url)('hatcheck/package.json') as { version: string }).version
}
