import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/resolve.js'
import { ConfigError, assertRule } from '../common/rule.js'
import { makeDataFolder } from '../common/data-folder.js'
import { readSettingsFile } from '../common/settings-file.js'
import { estimateBits } from './secret-strength.js'

const MIN_BYTES = 32
/**
 * Anybody with a ticket can try keys on it, so a weaker key can be guessed. By this estimate, keys that people make up have up
 * to about 50 bits, and 32 random characters have at least 80, even if all of them are digits.
 */
const MIN_BITS = 72
const KEY_FILE = 'secret.key'
const HOW_TO_MAKE_ONE = '"npx hatcheck secret" prints a good one.'

/** Makes a secret key. */
export function newSecret (): string {
  return randomBytes(MIN_BYTES).toString('base64url')
}

export type Secret = string | Uint8Array

export type SecretsConfig = Pick<Config, 'mode' | 'nameOf' | 'secretKey' | 'secretKeyFile' | 'secretKeyFallbacks' | 'sessionStore' | 'dataDir'>

/**
 * Returns the keys of a configuration: the first signs tickets, all verify.
 *
 * @throws ConfigError
 */
export function secretsOf (config: SecretsConfig): Buffer[] {
  const { nameOf, secretKeyFallbacks } = config
  const fallbacksName = nameOf('secretKeyFallbacks')
  const secrets = [...currentSecrets(config), ...secretKeyFallbacks.map((fallback) => toSecret(fallbacksName, fallback))]
  const file = keyFileOf(config)
  assertDifferent(secrets, `${file === undefined ? nameOf('secretKey') : `The keys in ${file}`} and ${fallbacksName}`)
  return secrets
}

/** Checks the keys that an application passes. @throws ConfigError if one of them cannot be a secret key */
export function checkedSecrets (values: readonly Secret[]): Buffer[] {
  assertRule(Array.isArray(values) && values.length > 0, 'Secret keys must be a list with at least one key in it.')
  const secrets = values.map((value) => toSecret('A secret key', value))
  assertDifferent(secrets, 'Secret keys')
  return secrets
}

/** Returns the file of the keys; undefined if they are not in a file. */
export function keyFileOf ({ mode, secretKey, secretKeyFile, sessionStore, dataDir }: SecretsConfig): string | undefined {
  if (secretKey !== undefined) return undefined
  // Sessions in memory end with the process, so their key need not be kept. Those of Flask live on.
  const endsWithProcess = sessionStore.kind === 'engine' && sessionStore.engine.name === 'memory' && sessionStore.sessionsIn !== 'flask'
  return secretKeyFile ?? (mode === 'plugin' || endsWithProcess ? undefined : join(dataDir, KEY_FILE))
}

/** Returns the keys that are not fallbacks: of the options, of the file that they name, or the service's own. */
function currentSecrets (config: SecretsConfig): Buffer[] {
  const { nameOf, secretKey, secretKeyFile } = config
  const [keyName, fileName] = [nameOf('secretKey'), nameOf('secretKeyFile')]
  assertRule(secretKey === undefined || secretKeyFile === undefined, `${keyName} and ${fileName} are both set: set one of them.`)
  if (secretKey !== undefined) return [toSecret(keyName, secretKey)]
  return secretKeyFile === undefined ? ownSecrets(config, keyName) : fromFile(fileName, secretKeyFile)
}

function assertDifferent (secrets: readonly Buffer[], names: string): void {
  assertRule(new Set(secrets.map((secret) => secret.toString('base64'))).size === secrets.length, `${names} must all be different.`)
}

function toSecret (name: string, value: unknown, remedy = HOW_TO_MAKE_ONE): Buffer {
  assertRule(typeof value === 'string' || value instanceof Uint8Array, `${name} must be text or bytes, not ${typeof value}.`)
  const secret = typeof value === 'string' ? Buffer.from(value.trim()) : Buffer.from(value)
  assertRule(secret.length >= MIN_BYTES,
    `${name} must be at least ${MIN_BYTES} bytes long, but is ${secret.length}. ${remedy}`)
  assertRule(estimateBits(secret, MIN_BITS) >= MIN_BITS, `${name} is easy to guess: it must be random. ${remedy}`)
  return secret
}

/** Reads one key per line, beside comments. */
function fromFile (name: string, file: string, remedy = HOW_TO_MAKE_ONE): Buffer[] {
  // A file without a key counts as one empty key, which breaks the rules.
  const [first = '', ...others] = readSettingsFile(name, file).split(/\r?\n/).filter((line) => !/^\s*(?:#|$)/.test(line))
  return [first, ...others].map((line) => toSecret(name, line, remedy))
}

/** Reads the service's own key, and makes it if it is missing. */
function ownSecrets (config: SecretsConfig, name: string): Buffer[] {
  assertRule(config.mode !== 'plugin', `${name} is required: at least ${MIN_BYTES} random bytes. ${HOW_TO_MAKE_ONE}`)
  const file = keyFileOf(config)
  if (file === undefined) return [toSecret(name, newSecret())]
  try {
    if (!existsSync(file)) {
      makeDataFolder(config.dataDir)
      // Written to a draft and linked into place, so that of two processes that start at once, one makes the key and both use it.
      const draft = `${file}.${randomBytes(6).toString('hex')}`
      writeFileSync(draft, `${newSecret()}\n`, { mode: 0o600 })
      try {
        linkSync(draft, file)
      } finally {
        unlinkSync(draft)
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new ConfigError(`DATA_DIR cannot be written: ${(error as Error).message}.`)
  }
  return fromFile(file, file, 'It is damaged: restore it from a backup, or delete it. Without it, the next start makes a new key, and every session ends.')
}
