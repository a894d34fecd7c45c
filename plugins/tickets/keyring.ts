import type { FastifyBaseLogger } from 'fastify'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Config } from '../config/resolve.js'
import { repeat } from '../common/repeat.js'
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
  /** The content of the file when it was last read. */
  let inFile: readonly Buffer[] = secrets
  let rotating: NodeJS.Timeout | undefined
  let isStopped = false
  const file = keyFileOf(config)
  const stopChecking = file === undefined ? () => {} : repeat(CHECK_EVERY_MS, checker(file))

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
    const wanted = secretsIn(file)
    inFile = wanted
    use(wanted)
  }

  function secretsIn (file: string): Buffer[] {
    // Only at the start a missing file is made. Later, a new key would log everyone out.
    if (!existsSync(file)) throw new ConfigError(`The key file ${file} no longer exists: put it back.`)
    return secretsOf(config)
  }

  function checker (file: string): () => Promise<void> {
    let version: string | undefined
    let isUsed = false
    return async () => {
      const found = await versionOf(file)
      // A file that could not be used may become readable without another version.
      if (isStopped || (isUsed && found === version)) return
      try {
        const wanted = secretsIn(file)
        if (!areEqual(wanted, inFile)) use(wanted)
        else if (!isUsed && version !== undefined) log.info('the key file can be used again, and has the same keys as before')
        inFile = wanted
        isUsed = true
      } catch (error) {
        isUsed = false
        if (found !== version) log.error({ err: error }, 'the key file has changed but cannot be used; the keys stay as they were')
      }
      version = found
    }
  }

  return {
    get signer () { return signer },
    get secrets () { return secrets },
    replace (secrets) { use(checkedSecrets(secrets)) },
    reload,
    stop () {
      isStopped = true
      clearTimeout(rotating)
      stopChecking()
    }
  }
}

/** Differs whenever the file may have changed. */
async function versionOf (file: string): Promise<string> {
  try {
    // Not the time of its content, which a copy can keep: all keys have the same size.
    const { ctimeMs, ino, size } = await stat(file)
    return `${ctimeMs} ${ino} ${size}`
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown'
  }
}

function areEqual (some: readonly Buffer[], others: readonly Buffer[]): boolean {
  return some.length === others.length && some.every((secret, at) => secret.equals(others[at] as Buffer))
}
