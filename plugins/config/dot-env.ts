import { lstatSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { assertRule } from '../common/rule.js'
import { readSettingsFile } from '../common/settings-file.js'

/** In the working folder. */
export const DOT_ENV = '.env'
/** A variable, a comment or a blank line. A value in quotes can have several lines; a quote that is not closed is a part of the value. */
const ENTRY = /[ \t]*(?:#.*|(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*((["'`])(?:(?!\3)[^])*\3[ \t]*(?:#.*)?|(?!(["'`])[^]*\4).*))?(?:\n|$)/y

/**
 * Adds the variables of the file `.env` in the working folder. Variables that are set stay.
 *
 * @throws ConfigError if the file cannot be read or has another line: without its variables, the service could start in demo mode.
 */
export function loadDotEnv (env: NodeJS.ProcessEnv = process.env, file = DOT_ENV): void {
  // A link that leads nowhere is there.
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return
  const text = readSettingsFile(DOT_ENV, file)
  assertRule(!text.includes('\0'), `${DOT_ENV} must be text in UTF-8, but has NUL bytes, as UTF-16 has. Save it as UTF-8.`)
  for (const [variable, value] of Object.entries(variablesIn(text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n')))) env[variable] ??= value
}

/**
 * Passes the variables to the parser of Node one by one, without the white space around the equals sign: it would take a line that it
 * cannot read for the beginning of the next name, and a tab for a part of a name or a value.
 */
function variablesIn (text: string): Record<string, string> {
  const variables = {}
  const entry = new RegExp(ENTRY)
  while (entry.lastIndex < text.length) {
    const begin = entry.lastIndex
    const [, name, value = ''] = entry.exec(text) ?? []
    const line = `Line ${text.slice(0, begin).split('\n').length} of ${DOT_ENV}`
    assertRule(entry.lastIndex > begin, `${line} must be NAME=value, a comment or blank, with nothing but a comment after a quoted value.`)
    assertRule(!value.includes('\uFFFD'), `${line} must be text in UTF-8, but has other bytes. Save the file as UTF-8.`)
    if (name !== undefined) Object.assign(variables, parseEnv(`${name}=${value}\n`))
  }
  return variables
}
