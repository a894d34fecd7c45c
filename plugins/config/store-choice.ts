import { join, resolve } from 'node:path'
import { ConfigError, assertRule, shown } from '../common/rule.js'
import { isRedisUrl, parseRedisUrl, type RedisTarget } from './redis-url.js'
import type { SessionStore } from '../store/sessions.js'
import { CORE } from '../store/traits.js'
import { OPTIONS } from './table.js'

/** The store that `sessionStore` names: a store of the application, or an engine of hatcheck's own. */
type StoreChoice = { readonly kind: 'own', readonly store: SessionStore } | EngineStore

/** The engine keeps the accounts, and the sessions unless the cookies of the browsers, or of Flask, have them. */
export interface EngineStore {
  readonly kind: 'engine'
  readonly sessionsIn: 'engine' | 'cookie' | 'flask'
  readonly engine: EngineChoice
}

export type EngineChoice =
  | { readonly name: 'memory' }
  | { readonly name: 'lmdb', readonly folder: string }
  | { readonly name: 'redis', readonly target: RedisTarget }

/**
 * Reads the option `sessionStore`.
 *
 * @param name the name of the option as its author writes it
 * @throws ConfigError with the rule that is broken.
 */
export function storeChoice (store: unknown, dataDir: string, name: string): StoreChoice {
  if (typeof store === 'string') return { kind: 'engine', sessionsIn: placeOfSessions(store), engine: engineChoice(store, dataDir, name) }
  assertRule(typeof store === 'object' && store !== null, `${name} must be ${OPTIONS.sessionStore.form}; got ${shown(store)}.`)
  // A missing method would look like a failed store when it is called.
  for (const method of CORE) {
    assertRule(typeof Reflect.get(store, method) === 'function', `${name} must keep the contract of SessionStore; the method ${method} is missing. A store made for express-session needs expressStore(store).`)
  }
  return { kind: 'own', store: store as SessionStore }
}

/** Tells where the sessions are if the option has this value. */
export function placeOfSessions (store: unknown): EngineStore['sessionsIn'] {
  if (typeof store !== 'string') return 'engine'
  return store.startsWith('cookie:') ? 'cookie' : store.startsWith('flask:') ? 'flask' : 'engine'
}

/** Tells whether a url names the memory of the process. */
export function isMemoryUrl (store: string): boolean {
  return engineUrlOf(store) === 'memory:'
}

function engineChoice (store: string, dataDir: string, name: string): EngineChoice {
  assertRule(!/[\r\n]/.test(store), `${name} must be one URL on one line, even in a file.`)
  const url = engineUrlOf(store)
  if (url === 'memory:') return { name: 'memory' }
  if (isRedisUrl(url)) return { name: 'redis', target: parseRedisUrl(url, name) }
  const [, path] = /^lmdb:(.*)/.exec(url) ?? []
  if (path === undefined) throw new ConfigError(`${name} must be memory:, lmdb:, lmdb:./some/folder, a Redis URL, or cookie: or flask: before one of these; got "${schemeOf(url)}".`)
  assertRule(!/^\/\/(?!\/)/.test(path), `${name} must have a path after lmdb:, not an address: lmdb:data is a folder here, lmdb:/data one in the root.`)
  assertPath(path, name)
  return { name: 'lmdb', folder: path === '' ? defaultLmdbFolder(dataDir) : resolve(path) }
}

/** Returns the folder of `lmdb:`. */
export function defaultLmdbFolder (dataDir: string): string {
  return join(dataDir, 'lmdb')
}

/** Refuses a path that would be another one than is meant. @throws ConfigError */
export function assertPath (path: string, name: string): void {
  assertRule(!path.startsWith('~'), `${name} must not have a path that begins with ~: only a shell makes a home folder of it. Write the whole path.`)
  // Node puts this character in the place of bytes that are not UTF-8.
  assertRule(!path.includes('\uFFFD'), `${name} must be UTF-8: the folder would have another name.`)
}

/** Returns the url of the engine: what stands after `cookie:` or `flask:`, or the url itself. */
function engineUrlOf (store: string): string {
  return placeOfSessions(store) === 'engine' ? store : store.slice(store.indexOf(':') + 1) || 'lmdb:'
}

/** Returns a url without what may be a password in it. */
function schemeOf (url: string): string {
  return url.replace(/:.*$/s, ':…')
}
