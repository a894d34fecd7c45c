import type { FastifyBaseLogger } from 'fastify'
import { existsSync, unwatchFile, watchFile, type Stats } from 'node:fs'
import type { Config } from '../config/resolve.js'
import { ConfigError } from '../common/rule.js'
import { checkedSecrets, keyFileOf, secretsOf, type Secret, type SecretsConfig } from './secrets.js'
import { createTicketSigner, type TicketSigner } from './ticket.js'

/** How often the key file is checked. Polling also finds a changed symbolic link in its path, which no watcher reports. */
const CHECK_EVERY_MS = 1_000
/** How long after one worker has seen a new key all workers have seen it. */
const SEEN_BY_ALL_MS = 3 * CHECK_EVERY_MS

/** The current secret keys. They can be replaced at any time: requests under way continue with the new ones. */
export interface Keyring {
  /** Signs and verifies tickets with the current keys. */
  readonly signer: TicketSigner
  /** The current keys: the first signs, all verify. Another list once they have changed. */
  readonly secrets: readonly Buffer[]
  /** Replaces the keys. @throws ConfigError, and the keys stay as they were */
  replace (secrets: readonly Secret[]): void
  /**
   * Reads the key file again.
   *
   * @throws ConfigError, and the keys stay as they were.
   */
  reload (): void
  /** Stops checking the key file. */
  stop (): void
}

/**
 * Reads the secret keys, and watches the key file.
 *
 * @param isAlone whether no other worker uses the same file. With others, a new key first only verifies and signs later, since
 *   any of them may get a cookie that it has signed.
 * @throws ConfigError if the keys cannot be used.
 */
export function openKeyring (config: SecretsConfig & Pick<Config, 'realm'>, log: Pick<FastifyBaseLogger, 'info' | 'error'>, isAlone = true): Keyring {
  let secrets = secretsOf(config)
  let signer = createTicketSigner(secrets, config.realm)
  let rotating: NodeJS.Timeout | undefined
  let retrying: NodeJS.Timeout | undefined
  const file = keyFileOf(config)
  if (file !== undefined) watchFile(file, { interval: CHECK_EVERY_MS, persistent: false }, onChange)

  function use (wanted: Buffer[]): void {
    clearTimeout(rotating)
    const signing = wanted.find((secret) => secret.equals(secrets[0] as Buffer))
    // A removed key may have leaked, so the new one signs at once.
    if (isAlone || signing === undefined || signing === wanted[0]) return signWith(wanted)
    secrets = [signing, ...wanted.filter((secret) => secret !== signing)]
    signer = createTicketSigner(secrets, config.realm)
    rotating = setTimeout(signWith, SEEN_BY_ALL_MS, wanted).unref()
  }

  function signWith (wanted: Buffer[]): void {
    secrets = wanted
    signer = createTicketSigner(secrets, config.realm)
    log.info(`secret keys replaced: the first of ${secrets.length} signs, all verify`)
  }

  function reload (): void {
    if (file === undefined) throw new ConfigError('The secret keys are not in a file. Call setSecretKeys, or set secretKeyFile.')
    // Only at the start a missing file is made. Later, a new key would log everyone out.
    if (!existsSync(file)) throw new ConfigError(`${file} no longer exists.`)
    use(secretsOf(config))
  }

  function onChange (now: Stats, before: Stats): void {
    if (now.mtimeMs === before.mtimeMs && now.ino === before.ino && now.size === before.size) return
    clearInterval(retrying)
    try {
      reload()
    } catch (error) {
      log.error({ err: error }, 'the key file has changed but cannot be used; the keys stay as they were')
      // The file may become readable soon, and no event reports it.
      retrying = setInterval(retry, CHECK_EVERY_MS).unref()
    }
  }

  function retry (): void {
    try {
      reload()
      clearInterval(retrying)
    } catch {
      // Already logged.
    }
  }

  return {
    get signer () { return signer },
    get secrets () { return secrets },
    replace (secrets) { use(checkedSecrets(secrets)) },
    reload,
    stop () {
      clearTimeout(rotating)
      clearInterval(retrying)
      if (file !== undefined) unwatchFile(file, onChange)
    }
  }
}
