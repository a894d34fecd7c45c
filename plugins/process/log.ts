import type { FastifyBaseLogger, FastifyRequest, FastifyServerOptions } from 'fastify'
import { isTalkative } from '../common/log-level.js'
import { LogDestination } from './log-destination.js'

/** How much of the path of a request is logged, in characters. A client may send 16 KiB. */
const LONGEST_PATH = 512
/** Longer than any host name. */
const LONGEST_HOST = 256
/** How long the end of the process waits for lines that are not written yet, in ms. */
const FLUSH_MS = 1_000

/** No line has any of them today. They are here for the line that someone adds in a hurry. */
const SECRET_FIELDS = ['password', 'pwd', 'cookie', 'secretKey', 'body.password', 'body.pwd',
  'headers.cookie', 'headers.authorization', 'headers["set-cookie"]']

type ChildLoggerFactory = NonNullable<FastifyServerOptions['childLoggerFactory']>

export interface ProcessLog {
  /** The options from which Fastify makes its logger. */
  readonly options: NonNullable<FastifyServerOptions['logger']>
  /** Makes the logger of a request that logs warnings and errors alone. */
  readonly errorsOnly: ChildLoggerFactory
  /** Writes a line of another process, with its line break. */
  write (line: string): void
  /** Sets the logger that says how many lines were lost, once it can be written. */
  tellLossesBy (log: FastifyBaseLogger): void
  /** Resolves when everything is written, or after a second. */
  flush (): Promise<void>
  /** Whether a write hangs that would keep the process from ending. */
  isStuck (): boolean
}

/**
 * Opens the log: JSON lines on standard output; at a terminal, if pino-pretty is there, lines for people.
 *
 * @param hasWorkers whether lines of several processes are in it.
 */
export async function openLog (level: string, hasAuditLog: boolean, hasWorkers = false): Promise<ProcessLog> {
  const errorsOnly: ChildLoggerFactory = (log, bindings, options) => log.child(bindings, isTalkative(level) ? { ...options, level: 'warn' } : options)
  if (level === 'silent' && !hasAuditLog) return { options: false, errorsOnly, write () {}, tellLossesBy () {}, flush: async () => {}, isStuck: () => false }
  let log: FastifyBaseLogger | undefined
  const format = process.stdout.isTTY ? await prettifier(hasWorkers) : null
  const stream = new LogDestination({
    ...format !== null && { format },
    onLost (lines) { log?.error({ lines }, 'the log could not be written for a while: this many lines are lost') }
  })
  return {
    options: { level, timestamp: isoTime, serializers: { req: describeRequest }, redact: SECRET_FIELDS, stream },
    errorsOnly,
    write (line) { stream.write(line) },
    tellLossesBy (own) { log = own },
    flush: async () => { await stream.flush(FLUSH_MS) },
    isStuck: () => stream.isStuck()
  }
}

/** Null if pino-pretty is not installed. */
async function prettifier (hasWorkers: boolean): Promise<((line: string) => string) | null> {
  const pretty = await import('pino-pretty').catch(() => null)
  return pretty?.prettyFactory({ colorize: pretty.isColorSupported, ignore: hasWorkers ? 'hostname' : 'pid,hostname', translateTime: 'SYS:HH:MM:ss' }) ?? null
}

/** UTC, so that it can be read as it is. */
function isoTime (): string {
  return `,"time":"${new Date().toISOString()}"`
}

/** Describes a request in the log: without headers, and of its URL the path alone, since a query may have anything in it. */
export function describeRequest ({ method, url, host, ip, socket }: FastifyRequest): Record<string, unknown> {
  return {
    method,
    url: url.split('?', 1)[0]?.slice(0, LONGEST_PATH),
    host: host.slice(0, LONGEST_HOST),
    remoteAddress: ip,
    remotePort: socket.remotePort
  }
}
