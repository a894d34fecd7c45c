import { createInterface } from 'node:readline'
import { Writable, type Readable } from 'node:stream'
import { UsageError, type Io } from './io.js'

/** Asks for a password twice at a terminal, without an echo. Reads the first line of any other input. */
export async function readPassword ({ stdin, stderr }: Io): Promise<string> {
  if (stdin.isTTY !== true) {
    const line = await firstLine(stdin)
    if (line === null) throw new UsageError('a password is expected on standard input')
    // The byte order mark of a file that an editor has saved is not typed: nobody could log in with it.
    return line.replace(/^\ufeff/, '')
  }
  const silent = new Writable({ write (_chunk, _encoding, done) { done() } })
  // Without a history: the arrow keys would give the first answer again.
  const terminal = createInterface({ input: stdin, output: silent, terminal: true, historySize: 0 })
  // It keeps a line that arrives before its question, such as the second of two that are pasted.
  const lines = terminal[Symbol.asyncIterator]()
  const answer = async (): Promise<string> => {
    const { done, value } = await lines.next()
    // Ctrl+C or Ctrl+D.
    if (done === true) throw new UsageError('a password is expected')
    return value
  }
  try {
    stderr.write('Password: ')
    const password = await answer()
    stderr.write('\nAgain: ')
    const again = await answer()
    stderr.write('\n')
    if (password !== again) throw new UsageError('the two passwords differ')
    return password
  } finally {
    terminal.close()
  }
}

/** Of input without a line end, no more is read. It is longer than every password, so the password is refused. */
const MOST_BYTES = 64 * 1_024

/**
 * Reads up to the first LF or CRLF, and does not wait for the rest. `readline` would also end the line at a CR, which a password
 * can have. Returns null if there is no input.
 */
async function firstLine (input: Readable): Promise<string | null> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of input as AsyncIterable<Buffer>) {
    const end = chunk.indexOf('\n')
    if (end !== -1) return Buffer.concat([...chunks, chunk.subarray(0, end)]).toString().replace(/\r$/, '')
    chunks.push(chunk)
    length += chunk.length
    if (length > MOST_BYTES) break
  }
  return Buffer.concat(chunks).toString() || null
}
