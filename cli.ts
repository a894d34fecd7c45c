#!/usr/bin/env node
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { parseArgs } from 'node:util'
import { Accounts } from './plugins/accounts/accounts.js'
import { loadDotEnv, readEnvironment } from './plugins/config/environment.js'
import { ConfigError, resolveConfig } from './plugins/config/resolve.js'
import { newSecret } from './plugins/session/secrets.js'
import { openStorage } from './plugins/storage/open.js'

const HELP = `hatcheck: logins and sessions for any web application

Usage
  hatcheck                     start the service; also: hatcheck serve
  hatcheck secret              print a new SECRET_KEY
  hatcheck user add NAME       create an account; the password is asked for, or read from standard input
  hatcheck user passwd NAME    set another password and end every session of the account
  hatcheck user disable NAME   keep the account from logging in and end every session of it
  hatcheck user enable NAME    let the account log in again; it has no session before that
  hatcheck user list           list the accounts

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
  LOG_LEVEL                    fatal, error, warn, info, debug, trace   info
  The README lists the others.

The user commands work on the same DATA_DIR and SESSION_STORE as the service, also while it runs.

Examples
  hatcheck                                                 try it: http://127.0.0.1:3000, demo mode
  SECRET_KEY=$(hatcheck secret) SIGNUP=closed hatcheck     no demo mode: accounts from "user add" only
  echo "$PASSWORD" | hatcheck user add harry               for scripts
`

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

async function withAccounts (work: (accounts: Accounts) => Promise<unknown>): Promise<void> {
  loadDotEnv()
  const { options, mode } = readEnvironment(process.env)
  const config = resolveConfig(options, mode)
  if (config.sessionStore === 'memory:') throw new ConfigError('SESSION_STORE is memory:, where only the running service has its accounts.')
  const storage = await openStorage(config, {
    info () {},
    warn (details: unknown, text?: string) { process.stderr.write(`hatcheck: ${text ?? String(details)}\n`) }
  })
  try {
    if (storage.accounts === null) throw new ConfigError('This store keeps no accounts.')
    const { sessions, accounts } = storage
    await work(new Accounts({ ...config, accounts, revokeUser: (name) => sessions.removeOfUser(name) }))
  } finally {
    await storage.close()
  }
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
