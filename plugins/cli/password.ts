import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { UsageError, type Io } from './io.js'

/** Asks for a password twice at a terminal, without an echo. Reads the first line of any other input. */
export async function readPassword ({ stdin, stderr }: Io): Promise<string> {
  if (stdin.isTTY !== true) {
    const lines = createInterface({ input: stdin })
    try {
      const { value, done } = await lines[Symbol.asyncIterator]().next()
      if (done === true) throw new UsageError('a password is expected on standard input')
      return value
    } finally {
      lines.close()
      // The rest is not waited for.
      stdin.destroy()
    }
  }
  const silent = new Writable({ write (_chunk, _encoding, done) { done() } })
  const terminal = createInterface({ input: stdin, output: silent, terminal: true })
  try {
    stderr.write('Password: ')
    const password = await terminal.question('')
    stderr.write('\nAgain: ')
    const again = await terminal.question('')
    stderr.write('\n')
    if (password !== again) throw new UsageError('the two passwords differ')
    return password
  } finally {
    terminal.close()
  }
}
