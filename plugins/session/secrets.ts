import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, assertRule, type Config } from '../config/resolve.js'

const SHORTEST_BYTES = 32
/** Fewer different bytes than this in a key is a pattern, not randomness: 32 random bytes have 30 on average. */
const FEWEST_DIFFERENT = 10
const KEY_FILE = 'secret.key'

/** Keys that stand in tutorials, and what people type to get on. */
const SAMPLES = /^(.{0,8}?)(change.?me|secret|password|keyboard.?cat|your.?(super.?)?secret|my.?secret|example|a.?very.?long|averylon?g|supersecret|not.?a.?secret|dev(elopment)?.?key)/i

/** A new secret key, as text. */
export function newSecret (): string {
  return randomBytes(SHORTEST_BYTES).toString('base64url')
}

/**
 * The keys that sign (the first) and verify (all of them) tickets.
 *
 * @throws ConfigError
 */
export function secretsOf (config: Pick<Config, 'mode' | 'secretKey' | 'secretKeyFile' | 'secretKeyFallbacks' | 'sessionStore' | 'dataDir'>): Buffer[] {
  const { mode, secretKey, secretKeyFile, secretKeyFallbacks } = config
  const [keyName, fileName, fallbacksName] = mode === 'plugin'
    ? ['secretKey', 'secretKeyFile', 'secretKeyFallbacks']
    : ['SECRET_KEY', 'SECRET_KEY_FILE', 'SECRET_KEY_FALLBACKS']
  assertRule(secretKey === undefined || secretKeyFile === undefined, `${keyName} and ${fileName} are both set: set one of them.`)
  const secrets = [
    secretKey !== undefined
      ? toSecret(keyName, secretKey)
      : secretKeyFile !== undefined ? toSecret(fileName, fromFile(fileName, secretKeyFile)) : ownSecret(config, keyName),
    ...secretKeyFallbacks.map((fallback) => toSecret(fallbacksName, fallback))
  ]
  assertRule(new Set(secrets.map((secret) => secret.toString('base64'))).size === secrets.length,
    `${keyName} and ${fallbacksName} must all be different.`)
  return secrets
}

function toSecret (name: string, value: unknown, remedy = '"npx hatcheck secret" prints a good one.'): Buffer {
  assertRule(typeof value === 'string' || value instanceof Uint8Array, `${name} must be text or bytes, not ${typeof value}.`)
  const secret = typeof value === 'string' ? Buffer.from(value.trim()) : Buffer.from(value)
  assertRule(secret.length >= SHORTEST_BYTES,
    `${name} must be at least ${SHORTEST_BYTES} bytes long, but is ${secret.length}. ${remedy}`)
  assertRule(new Set(secret).size >= FEWEST_DIFFERENT && !isRepetition(secret.toString('latin1')) && !SAMPLES.test(secret.toString('latin1')),
    `${name} is easy to guess: it must be random. ${remedy}`)
  return secret
}

/** Whether it is one piece of text again and again. */
function isRepetition (text: string): boolean {
  return (text + text).indexOf(text, 1) < text.length
}

function fromFile (name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`${name} cannot be read: ${(error as Error).message}.`)
  }
}

/** The service on loopback makes its own key. With sessions in memory there is nothing that a kept key would be for. */
function ownSecret ({ mode, sessionStore, dataDir }: Pick<Config, 'mode' | 'sessionStore' | 'dataDir'>, name: string): Buffer {
  assertRule(mode !== 'plugin', `${name} is required: at least ${SHORTEST_BYTES} random bytes. "npx hatcheck secret" prints a good one.`)
  if (sessionStore === 'memory:') return toSecret(name, newSecret())
  const file = join(dataDir, KEY_FILE)
  try {
    if (!existsSync(file)) {
      mkdirSync(dataDir, { recursive: true, mode: 0o700 })
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
  return toSecret(file, fromFile(file, file), 'It is damaged: restore it from a backup, or delete it; then a new one is made, and every session is ended.')
}
