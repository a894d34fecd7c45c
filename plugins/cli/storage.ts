import { lstatSync } from 'node:fs'
import { readEnvironment } from '../config/environment.js'
import { resolveConfig, type Config } from '../config/resolve.js'
import { ConfigError } from '../common/rule.js'
import { keyFileOf, secretsOf } from '../tickets/secrets.js'
import { createTicketSigner } from '../tickets/ticket.js'
import { assertStoreIn, hasStoreIn, type LastingEngine } from '../storage/doctor.js'
import { openStorage } from '../storage/open.js'
import { warnOfRights } from '../storage/rights.js'
import type { Storage, StorageLog } from '../storage/common/storage.js'
import type { Io } from './io.js'

export interface StorageAccess {
  /** Names what the command works on, for an error text. */
  what: string
  /**
   * Called before a missing store is created; an error that it throws prevents that. Without it, a missing store is an error: a new
   * one would hide a wrong folder.
   */
  beforeCreation? (config: Config): Promise<void>
}

/**
 * Opens the store of the service for a command, and closes it again.
 *
 * @returns the exit code: 1 if a damaged record was skipped.
 * @throws ConfigError if there is no store, and none may be created.
 */
export async function withStorage (io: Io, { what, beforeCreation }: StorageAccess, work: (storage: Storage, config: Config, log: StorageLog) => Promise<unknown>): Promise<number> {
  const { config, engine } = await storedConfiguration(io, what)
  if (engine.name === 'lmdb') {
    if (beforeCreation === undefined) assertStoreIn(engine.folder)
    else if (!hasStoreIn(engine.folder)) await beforeCreation(config)
  }
  let hasSkipped = false
  const log = logTo(io, (details) => { if ('record' in details || 'account' in details) hasSkipped = true })
  const storage = await openStorage(config, log, handlesIfKnown(config))
  io.stderr.write(`hatcheck: ${storage.description}\n`)
  warnOfRights(config, log)
  try {
    await work(storage, config, log)
  } finally {
    await storage.close()
  }
  return hasSkipped ? 1 : 0
}

/**
 * Returns a log that writes the warnings to standard error, with the reason if they have one.
 *
 * @param onDetails called with the details of each warning that has some
 */
export function logTo (io: Io, onDetails: (details: object) => void = () => {}): StorageLog {
  return {
    info () {},
    warn (details: unknown, text?: string) {
      if (typeof details === 'object' && details !== null) onDetails(details)
      const { reason } = Object(details) as { reason?: string }
      io.stderr.write(`hatcheck: ${text ?? String(details)}${reason === undefined ? '' : `: ${reason}`}\n`)
    }
  }
}

/**
 * Reads the configuration of the service for a command on its store.
 *
 * @throws ConfigError if a setting is wrong, or if the store is in memory.
 */
export async function storedConfiguration (io: Io, what: string): Promise<{ config: Config, engine: LastingEngine }> {
  const { options, mode } = readEnvironment(await io.env())
  const config = resolveConfig(options, mode)
  const { sessionStore } = config
  // An environment variable cannot name a store of an application.
  if (sessionStore.kind === 'own' || sessionStore.engine.name === 'memory') throw new ConfigError(`SESSION_STORE is ${String(options.sessionStore)}, so the ${what} exist in the running service only. Set SESSION_STORE to a store on disk or to Redis.`)
  return { config, engine: sessionStore.engine }
}

/**
 * Makes the handles that the service shows.
 *
 * @throws ConfigError if the service has not made its key yet: with another key, handles differ.
 */
export function handlesOf (config: Config): (key: string) => string {
  if (isKeyToCome(config)) throw new ConfigError(`${keyFileOf(config)} is missing: the service makes it at its first start. Start it once, or set DATA_DIR, SECRET_KEY or SECRET_KEY_FILE.`)
  return createTicketSigner(secretsOf(config), config.realm).handleOf
}

/**
 * Makes the same handles; without the secret key, the handle of a session is its key in the store.
 *
 * @param tell called with the reason why the service cannot use its key
 */
export function handlesIfKnown (config: Config, tell: (fault: string) => void = () => {}): (key: string) => string {
  try {
    return handlesOf(config)
  } catch (error) {
    if (!isKeyToCome(config)) tell((error as Error).message)
    return (key) => key
  }
}

/** Tells whether the next start makes the key. It does not replace a link to a missing file. */
function isKeyToCome (config: Config): boolean {
  const file = keyFileOf(config)
  return file !== undefined && config.secretKeyFile === undefined && !hasEntry(file)
}

/** Also false if the folder cannot be read: opening the store in it reports why. */
function hasEntry (file: string): boolean {
  try {
    lstatSync(file)
    return true
  } catch {
    return false
  }
}
