import type { GivenOptions } from './options.js'

// npm does not install these with hatcheck: hatcheck/session needs none of them.
const PLUGIN = ['@fastify/autoload', 'bowser', 'negotiator']
const PAGES = ['@fastify/formbody']
const ACCOUNTS = ['@node-rs/argon2', '@zxcvbn-ts/language-common']
const SERVICE = ['@fastify/swagger', 'close-with-grace', 'prom-client']

/** Lists the packages that hatcheck in an application needs beside those that npm installs with it. */
export function packagesOfPlugin ({ sessionStore, routes = false, authenticate }: GivenOptions): string[] {
  const hasPages = Array.isArray(routes) ? routes.length > 0 : routes !== false
  return [...PLUGIN, ...hasPages ? PAGES : [], ...hasPages && authenticate === undefined ? ACCOUNTS : [], ...packagesOfStore(sessionStore)]
}

/** Lists the packages that the service needs beside those that npm installs with hatcheck. */
export function packagesOfService (sessionStore: string | undefined): string[] {
  return [...PLUGIN, ...PAGES, ...ACCOUNTS, ...SERVICE, ...packagesOfStore(sessionStore)]
}

function packagesOfStore (sessionStore: unknown = 'lmdb:'): string[] {
  if (typeof sessionStore !== 'string') return []
  return sessionStore.startsWith('lmdb:') ? ['lmdb'] : sessionStore.startsWith('redis') ? ['ioredis'] : []
}
