import type { FastifyBaseLogger } from 'fastify'
import { existsSync, unwatchFile, watchFile, type Stats } from 'node:fs'
import type { Config } from '../config/resolve.js'
import { ConfigError } from '../common/rule.js'
import { checkedSecrets, keyFileOf, secretsOf, type Secret, type SecretsConfig } from './secrets.js'
import { createTicketSigner, type TicketSigner } from './ticket.js'

/** How often the key file is looked at, in ms. Looking finds also what no watcher tells: a link in its path that is turned. */
const LOOK_EVERY_MS = 1_000
/** So long after one of several workers has seen another key, in ms, all have seen it. */
const SEEN_BY_ALL_MS = 3 * LOOK_EVERY_MS

/** The secret keys in force. They can be replaced at any time: requests under way go on with the new ones. */
export interface Keyring {
  /** Issues and verifies tickets by the keys of now. */
  readonly signer: TicketSigner
  /** @throws ConfigError, and the keys stay as they were. */
  replace (secrets: readonly Secret[]): void
  /**
   * Reads the key file and the fallbacks anew.
   *
   * @throws ConfigError, and the keys stay as they were.
   */
  reload (): void
  /** No longer looks at the key file. */
  stop (): void
}

/**
 * @param isAlone whether no other process uses the same file. With others, a new key verifies first and signs later: a cookie
 *   that is signed with it may come to any of them next.
 * @throws ConfigError if there are no keys that can be used.
 */
export function openKeyring (config: SecretsConfig & Pick<Config, 'realm'>, log: Pick<FastifyBaseLogger, 'info' | 'error'>, isAlone = true): Keyring {
  let secrets = secretsOf(config)
  let signer = createTicketSigner(secrets, config.realm)
  let turning: NodeJS.Timeout | undefined
  let retrying: NodeJS.Timeout | undefined
  const file = keyFileOf(config)
  if (file !== undefined) watchFile(file, { interval: LOOK_EVERY_MS, persistent: false }, onChange)

  function use (wanted: Buffer[]): void {
    clearTimeout(turning)
    const signing = wanted.find((secret) => secret.equals(secrets[0] as Buffer))
    // A former key that is gone has leaked: there is nothing to sign with meanwhile.
    if (isAlone || signing === undefined || signing === wanted[0]) return signWith(wanted)
    secrets = [signing, ...wanted.filter((secret) => secret !== signing)]
    signer = createTicketSigner(secrets, config.realm)
    turning = setTimeout(signWith, SEEN_BY_ALL_MS, wanted).unref()
  }

  function signWith (wanted: Buffer[]): void {
    secrets = wanted
    signer = createTicketSigner(secrets, config.realm)
    log.info(`secret keys replaced: the first of ${secrets.length} signs, all verify`)
  }

  function reload (): void {
    if (file === undefined) throw new ConfigError('The secret keys are in no file, so there is nothing to read anew.')
    // At the start a missing file may be made; later on a new key would log everyone out.
    if (!existsSync(file)) throw new ConfigError(`${file} is not there any more.`)
    use(secretsOf(config))
  }

  function onChange (now: Stats, before: Stats): void {
    if (now.mtimeMs === before.mtimeMs && now.ino === before.ino && now.size === before.size) return
    clearInterval(retrying)
    try {
      reload()
    } catch (error) {
      log.error({ err: error }, 'the key file has changed but cannot be used; the keys stay as they were')
      // The file may be readable in a moment, and no event says when.
      retrying = setInterval(retry, LOOK_EVERY_MS).unref()
    }
  }

  function retry (): void {
    try {
      reload()
      clearInterval(retrying)
    } catch {
      // Logged already.
    }
  }

  return {
    get signer () { return signer },
    replace (secrets) { use(checkedSecrets(secrets)) },
    reload,
    stop () {
      clearTimeout(turning)
      clearInterval(retrying)
      if (file !== undefined) unwatchFile(file, onChange)
    }
  }
}
