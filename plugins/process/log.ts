import type { FastifyBaseLogger, FastifyRequest, FastifyServerOptions } from 'fastify'
import { isTalkative } from '../common/log-level.js'
import { LogDestination } from './log-destination.js'

/** The longest part of a path that is logged, in characters. A client may send 16 KiB. */
const LONGEST_PATH = 512
/** Longer than any host name. */
const LONGEST_HOST = 256
/** How long the process waits at its end for lines that are not yet written, in ms. */
const FLUSH_MS = 1_000

/** The user of an absolute address, which may have a password. */
const USER_INFO = /^([a-z][\w+.-]*:\/\/)[^/]*@/i

/** No line contains these fields today. They protect a line that is added later. */
const SECRET_FIELDS = ['password', 'pwd', 'cookie', 'secretKey', 'body.password', 'body.pwd',
  'headers.cookie', 'headers.authorization', 'headers["set-cookie"]']

type ChildLoggerFactory = NonNullable<FastifyServerOptions['childLoggerFactory']>

export interface ProcessLog {
  /** The logger options for Fastify. */
  readonly options: NonNullable<FastifyServerOptions['logger']>
  /** Makes a logger for a request that logs only warnings and errors. */
  readonly errorsOnly: ChildLoggerFactory
  /** Writes a line of a worker, with its line break. */
  write (line: string): void
  /** Sets the logger that reports how many lines were lost. */
  setLossLogger (log: FastifyBaseLogger): void
  /** Resolves when everything is written, after at most one second. */
  flush (): Promise<void>
  /** Tells whether a write hangs that would keep the process from ending. */
  isStuck (): boolean
}

interface LogOptions {
  level: string
  hasAuditLog: boolean
  /**
   * Whether the log has lines of several processes.
   * @default false
   */
  hasWorkers?: boolean
}

/** Opens the log: JSON lines on standard output. At a terminal with pino-pretty installed, the lines are formatted for people. */
export async function openLog ({ level, hasAuditLog, hasWorkers = false }: LogOptions): Promise<ProcessLog> {
  const errorsOnly: ChildLoggerFactory = (log, bindings, options) => log.child(bindings, isTalkative(level) ? { ...options, level: 'warn' } : options)
  if (level === 'silent' && !hasAuditLog) return { options: false, errorsOnly, write () {}, setLossLogger () {}, flush: async () => {}, isStuck: () => false }
  let log: FastifyBaseLogger | undefined
  const format = process.stdout.isTTY ? await prettifier(hasWorkers) : null
  const stream = new LogDestination({
    ...format !== null && { format },
    onLost (lines) { log?.error({ lines }, 'the log could not be written for a while; lines were lost') }
  })
  return {
    options: { level, timestamp: isoTime, serializers: { req: describeRequest }, redact: SECRET_FIELDS, stream },
    errorsOnly,
    write (line) { stream.write(line) },
    setLossLogger (own) { log = own },
    flush: async () => { await stream.flush(FLUSH_MS) },
    isStuck: () => stream.isStuck()
  }
}

/** Returns the formatter for a terminal; null if pino-pretty is not installed. */
async function prettifier (hasWorkers: boolean): Promise<((line: string) => string) | null> {
  const pretty = await import('pino-pretty').catch(() => null)
  return pretty?.prettyFactory({ colorize: pretty.isColorSupported, ignore: hasWorkers ? 'hostname' : 'pid,hostname', translateTime: 'SYS:HH:MM:ss' }) ?? null
}

/** Formats the time as ISO 8601 in UTC; pino's default is a number of milliseconds. */
function isoTime (): string {
  return `,"time":"${new Date().toISOString()}"`
}

/** Describes a request in the log: without headers, without the query and without a user in the address, which may contain secrets. */
export function describeRequest ({ method, url, host, ip, socket }: FastifyRequest): Record<string, unknown> {
  return {
    method,
    url: url.split('?', 1)[0]?.replace(USER_INFO, '$1').slice(0, LONGEST_PATH),
    host: host.slice(0, LONGEST_HOST),
    remoteAddress: ip,
    remotePort: socket.remotePort
  }
}
