import { existsSync } from 'node:fs'
import { isLoopback } from '../common/loopback.js'
import type { GivenOptions } from './options.js'
import { PLAIN_OPTIONS, SERVICE_ONLY, environmentName, type Mode, type ServiceOnlyOptions } from './resolve.js'
import { assertRule } from '../common/rule.js'
import { isAddressRange } from './trusted-proxies.js'
import { validate } from './validate.js'

/** One a core is enough; a larger number is a mistake. */
const MOST_WORKERS = 64

/** What only the process needs to know. */
const processProperties = {
  host: { type: 'string', default: '127.0.0.1', minLength: 1 },
  port: { type: 'integer', minimum: 0, maximum: 65_535, default: 3_000 },
  workers: { type: 'integer', minimum: 1, maximum: MOST_WORKERS, default: 1 },
  metricsPort: { type: 'integer', minimum: 0, maximum: 65_535 },
  logLevel: { type: 'string', enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], default: 'info' },
  requestLog: { type: 'string', enum: ['on', 'off'], default: 'on' },
  auditLog: { type: 'string', enum: ['on', 'off'] }
} as const

export interface ServiceConfig {
  host: string
  port: number
  /** Processes that serve. */
  workers: number
  /** The port on which the metrics are, and nothing else; without it they are on the other, for this machine alone. */
  metricsPort?: number
  logLevel: string
  /** Whether every request is logged, or warnings and errors alone. */
  requestLog: boolean
  /** Whether security events are logged, whatever the level. */
  auditLog: boolean
  /** Addresses of proxies whose forwarding headers are believed. */
  trustProxy: string[] | false
  mode: Exclude<Mode, 'plugin'>
  options: Omit<GivenOptions, 'routes' | 'prefix'> & ServiceOnlyOptions
}

/** Adds what `.env` in the working folder says; what is set already stays. */
export function loadDotEnv (): void {
  if (existsSync('.env')) process.loadEnvFile('.env')
}

/**
 * The service's configuration from environment variables.
 *
 * @throws ConfigError with the rule that is broken.
 */
export function readEnvironment (env: NodeJS.ProcessEnv): ServiceConfig {
  const read = (option: string): string | undefined => env[environmentName(option)]?.trim() || undefined
  const { host: given, port, metricsPort, workers, logLevel, requestLog, auditLog } = validate(processProperties,
    defined(Object.keys(processProperties), read), environmentName)
  // People write an IPv6 address as in a url; the system takes it without the brackets.
  const host = given.replace(/^\[(.+)\]$/, '$1')
  const trusted = (read('trustProxy') ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '')
  for (const address of trusted) {
    assertRule(isAddressRange(address), `TRUST_PROXY must be addresses or ranges of proxies, such as 10.0.0.7 or 10.0.0.0/8; got "${address}".`)
  }
  assertRule(metricsPort === undefined || metricsPort === 0 || metricsPort !== port,
    `METRICS_PORT must be another port than PORT: whoever reaches that one is not to read the metrics. Both are ${port}.`)
  const isDemo = isLoopback(host) &&
    ['secretKey', 'secretKeyFile', 'trustProxy', 'signup'].every((option) => read(option) === undefined)
  assertRule(isLoopback(host) || read('secretKey') !== undefined || read('secretKeyFile') !== undefined,
    `HOST=${host} can be reached from other machines, so SECRET_KEY (or SECRET_KEY_FILE) must be set. "npx hatcheck secret" prints a good one.`)
  const options = defined([...PLAIN_OPTIONS, ...SERVICE_ONLY], read) as ServiceConfig['options']
  assertRule(workers === 1 || options.sessionStore !== 'memory:',
    'WORKERS must be 1 with SESSION_STORE=memory:, or each process would have sessions of its own.')
  return {
    host,
    port,
    workers,
    ...metricsPort !== undefined && { metricsPort },
    logLevel,
    requestLog: requestLog === 'on',
    // `silent` is silent, unless AUDIT_LOG says otherwise.
    auditLog: auditLog === undefined ? logLevel !== 'silent' : auditLog === 'on',
    trustProxy: trusted.length > 0 && trusted,
    mode: isDemo ? 'demo' : 'service',
    options: isLoopback(host) ? options : { sessionCookieSecure: 'true', ...options }
  }
}

function defined (names: readonly string[], read: (option: string) => string | undefined): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, read(name)]).filter(([, value]) => value !== undefined))
}
