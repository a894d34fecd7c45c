import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/resolve.js'
import { ConfigError, assertRule } from '../common/rule.js'
import { makeDataFolder } from '../common/data-folder.js'
import { bitsOf } from './secret-worth.js'

const SHORTEST_BYTES = 32
/**
 * A key that is worth less can be guessed: anybody with a ticket can try keys on it. Keys that people make up are worth up to 50 or
 * so by this measure, random ones of 32 characters 80 and more, also if all of them are digits.
 */
const LEAST_BITS = 72
const KEY_FILE = 'secret.key'
const GOOD_ONE = '"npx hatcheck secret" prints a good one.'

/** A new secret key, as text. */
export function newSecret (): string {
  return randomBytes(SHORTEST_BYTES).toString('base64url')
}

export type Secret = string | Uint8Array

export type SecretsConfig = Pick<Config, 'mode' | 'secretKey' | 'secretKeyFile' | 'secretKeyFallbacks' | 'sessionStore' | 'dataDir'>

/**
 * The keys that sign (the first) and verify (all of them) tickets.
 *
 * @throws ConfigError
 */
export function secretsOf (config: SecretsConfig): Buffer[] {
  const { mode, secretKey, secretKeyFile, secretKeyFallbacks } = config
  const [keyName, fileName, fallbacksName] = mode === 'plugin'
    ? ['secretKey', 'secretKeyFile', 'secretKeyFallbacks']
    : ['SECRET_KEY', 'SECRET_KEY_FILE', 'SECRET_KEY_FALLBACKS']
  assertRule(secretKey === undefined || secretKeyFile === undefined, `${keyName} and ${fileName} are both set: set one of them.`)
  const secrets = [
    ...secretKey !== undefined
      ? [toSecret(keyName, secretKey)]
      : secretKeyFile !== undefined ? fromFile(fileName, secretKeyFile) : ownSecrets(config, keyName),
    ...secretKeyFallbacks.map((fallback) => toSecret(fallbacksName, fallback))
  ]
  assertDifferent(secrets, `${keyName} and ${fallbacksName}`)
  return secrets
}

/** @throws ConfigError if one of them could not be a secret key. */
export function checkedSecrets (values: readonly Secret[]): Buffer[] {
  assertRule(Array.isArray(values) && values.length > 0, 'Secret keys must be a list with at least one key in it.')
  const secrets = values.map((value) => toSecret('A secret key', value))
  assertDifferent(secrets, 'Secret keys')
  return secrets
}

/** The file that the keys are in, if they are in a file. */
export function keyFileOf ({ mode, secretKey, secretKeyFile, sessionStore, dataDir }: SecretsConfig): string | undefined {
  if (secretKey !== undefined) return undefined
  // With sessions in memory there is nothing that a kept key would be for.
  return secretKeyFile ?? (mode === 'plugin' || sessionStore === 'memory:' ? undefined : join(dataDir, KEY_FILE))
}

function assertDifferent (secrets: readonly Buffer[], names: string): void {
  assertRule(new Set(secrets.map((secret) => secret.toString('base64'))).size === secrets.length, `${names} must all be different.`)
}

function toSecret (name: string, value: unknown, remedy = GOOD_ONE): Buffer {
  assertRule(typeof value === 'string' || value instanceof Uint8Array, `${name} must be text or bytes, not ${typeof value}.`)
  const secret = typeof value === 'string' ? Buffer.from(value.trim()) : Buffer.from(value)
  assertRule(secret.length >= SHORTEST_BYTES,
    `${name} must be at least ${SHORTEST_BYTES} bytes long, but is ${secret.length}. ${remedy}`)
  assertRule(bitsOf(secret, LEAST_BITS) >= LEAST_BITS, `${name} is easy to guess: it must be random. ${remedy}`)
  return secret
}

/** One key a line: the first signs, all verify. */
function fromFile (name: string, file: string, remedy = GOOD_ONE): Buffer[] {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`${name} cannot be read: ${(error as Error).message}.`)
  }
  const [first = '', ...others] = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  return [first, ...others].map((line) => toSecret(name, line, remedy))
}

/** The service on loopback makes its own key. */
function ownSecrets (config: SecretsConfig, name: string): Buffer[] {
  assertRule(config.mode !== 'plugin', `${name} is required: at least ${SHORTEST_BYTES} random bytes. ${GOOD_ONE}`)
  const file = keyFileOf(config)
  if (file === undefined) return [toSecret(name, newSecret())]
  try {
    if (!existsSync(file)) {
      makeDataFolder(config.dataDir)
      // Written aside and linked into place whole: of two processes that start at once, one makes the key and both use it.
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
  return fromFile(file, file, 'It is damaged: restore it from a backup, or delete it; then a new one is made, and every session is ended.')
}
