import type { FastifyServerOptions } from 'fastify'

interface Logging {
  logger: Exclude<FastifyServerOptions['logger'], boolean | undefined>
}

/** Makes the options of a server that adds each line of its log to a list, as text. */
export function logInto (lines: unknown[], level: string): Logging {
  return logEach(level, (line) => { lines.push(line) })
}

/** The same, with each line parsed. */
export function parsedLogInto<T> (lines: T[], level: string): Logging {
  return logEach(level, (line) => { lines.push(JSON.parse(line) as T) })
}

/** The same, with the message of each line. */
export function messagesInto (lines: string[], level: string): Logging {
  return logEach(level, (line) => { lines.push((JSON.parse(line) as { msg: string }).msg) })
}

/** Makes the options of a server that calls a function with each line of its log, as text. */
export function logEach (level: string, write: (line: string) => void): Logging {
  return { logger: { level, stream: { write } } }
}
