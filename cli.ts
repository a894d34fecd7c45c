#!/usr/bin/env node
import { setImmediate } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { UsageError, expectEnd, type Io } from './plugins/cli/io.js'
import { errorText } from './plugins/common/error-text.js'
import { isMain } from './plugins/process/main.js'

// Each command is imported where it runs, because a short command spends most of its time on loading.

/**
 * Runs `hatcheck` with these arguments.
 *
 * @returns the exit code. Errors are written to standard error.
 */
export async function run (argv: readonly string[], io: Io): Promise<number> {
  // A lost message must not end the work.
  io.stderr.on('error', () => {})
  try {
    return await runCommand(argv, io)
  } catch (error) {
    io.stderr.write(`hatcheck: ${isUsageError(error) ? `${error.message}\nTry "hatcheck --help".` : errorText(error)}\n`)
    return 1
  }
}

async function runCommand (argv: readonly string[], io: Io): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } }
  })
  const [command = 'serve', ...rest] = positionals
  if (command === 'serve' && values.help !== true && values.version !== true) {
    expectEnd(rest)
    const { serve } = await import('./server.js')
    await serve()
    return Number(process.exitCode ?? 0)
  }
  let lost: NodeJS.ErrnoException | undefined
  io.stdout.on('error', (error) => { lost ??= error })
  const code = await runShortCommand(command, rest, values, io)
  // The last write fails in the next turn.
  await setImmediate()
  // A reader such as `head` can close the output early.
  if (lost !== undefined && lost.code !== 'EPIPE') throw new Error(`The output cannot be written: ${lost.message}.`)
  return code
}

function isUsageError (error: unknown): error is Error {
  return error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true
}

/** Runs a command other than `serve`. */
async function runShortCommand (command: string, rest: string[], values: { help?: boolean, version?: boolean }, io: Io): Promise<number> {
  if (command === 'help') expectEnd(rest)
  if (values.help === true || command === 'help') {
    const { HELP } = await import('./plugins/cli/help.js')
    io.stdout.write(HELP)
    return 0
  }
  if (values.version === true) {
    const { createRequire } = await import('node:module')
    io.stdout.write(`${(createRequire(import.meta.url)('hatcheck/package.json') as { version: string }).version}\n`)
    return 0
  }
  switch (command) {
    case 'secret': {
      expectEnd(rest)
      const { newSecret } = await import('./plugins/tickets/secrets.js')
      io.stdout.write(`${newSecret()}\n`)
      return 0
    }
    case 'user':
      return await (await import('./plugins/cli/user.js')).user(rest, io)
    case 'sessions':
      return await (await import('./plugins/cli/sessions.js')).sessions(rest, io)
    case 'backup':
      return await (await import('./plugins/cli/backup.js')).backup(rest, io)
    case 'doctor':
      return await (await import('./plugins/cli/doctor.js')).doctor(rest, io)
    default:
      throw new UsageError(`unknown command: ${command}`)
  }
}

if (isMain(import.meta.url)) {
  process.exitCode = await run(process.argv.slice(2), {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    async env () {
      const { loadDotEnv } = await import('./plugins/config/dot-env.js')
      loadDotEnv()
      return process.env
    }
  })
}
