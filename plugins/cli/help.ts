import { PROCESS_OPTIONS } from '../config/process-options.js'
import type { Row } from '../config/row.js'
import { OPTIONS } from '../config/table.js'
import { environmentName } from '../config/option-name.js'

export const HELP = `hatcheck: logins and sessions for any web application

Usage
  hatcheck                     start the service; also: hatcheck serve
  hatcheck secret              print a new SECRET_KEY
  hatcheck user add NAME       create an account; the password is asked for, or read from standard input
  hatcheck user passwd NAME    set a new password and end every session of the account
  hatcheck user disable NAME   refuse logins to the account and end every session of it
  hatcheck user enable NAME    allow logins to the account again, and end every session of it
  hatcheck user list           list the accounts

  hatcheck sessions list [NAME]          list the sessions of an account; without a name, of every account
  hatcheck sessions revoke NAME HANDLE   end one session of an account
  hatcheck sessions revoke-all [NAME]    end every session of an account; without a name, of every account

  hatcheck backup FOLDER       copy the accounts to a new folder that can serve as DATA_DIR. Sessions and the secret
                               key are left out, so that a restore brings no ended session back
  hatcheck doctor              check the stored data: secret key, file permissions, formats, every record, indexes.
                               Prints a line for each fault, with the remedy; the exit code is 0 if there is none

Options
  -h, --help                   print this
  -v, --version                print the version

Environment (also from a file .env in this folder; defaults in brackets)
${linesOf({ ...OPTIONS, ...PROCESS_OPTIONS })}
  docs/options.md describes every variable.

The user, sessions, backup and doctor commands work on the DATA_DIR and SESSION_STORE of the service, even while it
runs, and print on standard error which store they use. Only "user add" creates a missing store. A damaged record is
reported and skipped, and the exit code is then 1.
"sessions list" and "sessions revoke" need the SECRET_KEY of the service: the handles depend on it. If the service or
the application has its own REALM or SESSION_COOKIE_NAME, set it for the sessions commands as well: they list and end
only its sessions.

Examples
  hatcheck                                                 try it: http://127.0.0.1:3000, demo mode
  SECRET_KEY=$(hatcheck secret) SIGNUP=closed hatcheck     no demo mode: accounts from "user add" only
  echo "$PASSWORD" | hatcheck user add harry               for scripts
`

function linesOf (table: Record<string, Row>): string {
  return Object.entries(table).flatMap(([option, row]) => row.help === undefined ? [] : [`  ${environmentName(option).padEnd(16)} ${row.help}${wordsOf(row)}${defaultOf(row)}`]).join('\n')
}

function wordsOf (row: Row): string {
  return 'words' in row ? `: ${row.words.join(', ')}` : ''
}

function defaultOf (row: Row): string {
  if (row.default === undefined) return ''
  return 'demo' in row ? ` [${row.default}; in demo mode ${row.demo}]` : ` [${row.default}]`
}
