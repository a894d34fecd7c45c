import { isIP } from 'node:net'
import { isLoopback } from '../common/loopback.js'
import { assertRule } from '../common/rule.js'
import { readSettingsFile } from '../common/settings-file.js'
import type { Mode } from './mode.js'
import { environmentName } from './option-name.js'
import type { GivenOptions, ServiceOnlyOptions } from './options.js'
import { PROCESS_OPTIONS } from './process-options.js'
import type { Row, ValuesOf } from './row.js'
import { isMemoryUrl } from './store-choice.js'
import { OPTIONS } from './table.js'
import { coverEveryAddress, isAddressRange } from './trusted-proxies.js'
import { validate } from './validate.js'

/** A name whose last part is a number would be an IPv4 address in one of its old forms, such as 127.1. */
const HOST_NAME = /^(?!(?:.*\.)?\d+\.?$)[^\s:/?#@[\]\\]+$/

type ProcessValues = ValuesOf<typeof PROCESS_OPTIONS>

/** The configuration of the service. `options` are not checked yet. */
export interface ServiceConfig extends Omit<ProcessValues, 'requestLog' | 'auditLog'> {
  requestLog: boolean
  auditLog: boolean
  trustProxy: string[] | false
  mode: Exclude<Mode, 'plugin'>
  options: Omit<GivenOptions, 'routes' | 'prefix'> & ServiceOnlyOptions
}

/**
 * Reads the configuration of the service from environment variables. An empty variable counts as missing.
 *
 * @throws ConfigError with the rule that is broken.
 */
export function readEnvironment (env: NodeJS.ProcessEnv): ServiceConfig {
  const read = (option: string): string | undefined => env[environmentName(option)]?.trim() || undefined
  const { host: given, requestLog, auditLog, ...values } = validate(PROCESS_OPTIONS, written(PROCESS_OPTIONS, read), environmentName, 'service')
  const { port, metricsPort, workers, logLevel } = values
  // People write an IPv6 address as in a URL; the system takes it without the brackets.
  const host = given.replace(/^\[(.+:.*)\]$/, '$1')
  assertRule(HOST_NAME.test(host) || isIP(host) !== 0, `HOST must be an address or a host name, without a port; got "${given}".`)
  const trusted = proxiesIn(read('trustProxy') ?? '')
  assertRule(metricsPort === undefined || metricsPort === 0 || metricsPort !== port,
    `METRICS_PORT must be another port than PORT, so that users cannot read the metrics. Both are ${port}.`)
  const isDemo = isLoopback(host) &&
    ['secretKey', 'secretKeyFile', 'trustProxy', 'signup'].every((option) => read(option) === undefined)
  assertRule(isLoopback(host) || read('secretKey') !== undefined || read('secretKeyFile') !== undefined,
    `HOST=${host} can be reached from other machines, so SECRET_KEY (or SECRET_KEY_FILE) must be set. "npx hatcheck secret" prints a good one.`)
  const options: ServiceConfig['options'] = written(OPTIONS, read)
  const { sessionStoreFile } = options
  if (sessionStoreFile !== undefined) {
    assertRule(options.sessionStore === undefined, 'SESSION_STORE and SESSION_STORE_FILE are both set: set one of them.')
    options.sessionStore = storeIn(sessionStoreFile)
  }
  assertRule(workers === 1 || !isMemoryUrl(String(options.sessionStore)),
    'WORKERS must be 1 with SESSION_STORE=memory:, or each process would have its own sessions.')
  return {
    ...values,
    host,
    requestLog: requestLog === 'on',
    // With LOG_LEVEL=silent, nothing is logged unless AUDIT_LOG asks for it.
    auditLog: auditLog === undefined ? logLevel !== 'silent' : auditLog === 'on',
    trustProxy: trusted.length > 0 && trusted,
    mode: isDemo ? 'demo' : 'service',
    options: isLoopback(host) ? options : { sessionCookieSecure: 'true', ...options }
  }
}

/**
 * Reads the addresses and ranges of trusted proxies.
 *
 * @throws ConfigError
 */
function proxiesIn (list: string): string[] {
  const ranges = list.split(',').map((part) => part.trim()).filter((part) => part !== '')
  for (const range of ranges) {
    assertRule(isAddressRange(range), `TRUST_PROXY must be ${PROCESS_OPTIONS.trustProxy.form}; got "${range}".`)
  }
  assertRule(!coverEveryAddress(ranges), 'TRUST_PROXY must not cover every address, or any client could forge its own: name the addresses of the proxies.')
  return ranges
}

/**
 * Reads the URL of the store from a file.
 *
 * @throws ConfigError if the file cannot be read or is empty.
 */
function storeIn (file: string): string {
  const url = readSettingsFile('SESSION_STORE_FILE', file).trim()
  assertRule(url !== '', `SESSION_STORE_FILE must name a file with the URL of a store, but ${file} is empty.`)
  return url
}

/** Picks the options of a table that the environment sets. */
function written (table: Record<string, Row>, read: (option: string) => string | undefined): Record<string, string> {
  const values: Record<string, string> = {}
  for (const [option, { only }] of Object.entries(table)) {
    const value = only === 'plugin' ? undefined : read(option)
    if (value !== undefined) values[option] = value
  }
  return values
}
