import type { Cluster, Redis } from 'ioredis'

/** A key holds another kind of value than hatcheck writes there. */
export const WRONG_TYPE = Symbol('wrong type')

/** The content of a key for a hash: its fields, none if the key is missing. */
export type StoredHash = Record<string, string> | typeof WRONG_TYPE

export function readHash (client: Redis | Cluster, name: string): Promise<StoredHash> {
  return client.hgetall(name).catch(wrongType)
}

/** Tells whether there is nothing under the key. */
export function isMissing (stored: StoredHash): boolean {
  return stored !== WRONG_TYPE && Object.keys(stored).length === 0
}

/** Handles the error of a command: a value of another kind is no failure of Redis. @throws any other error. */
export function wrongType (error: Error): typeof WRONG_TYPE {
  if (error.message.startsWith('WRONGTYPE')) return WRONG_TYPE
  throw error
}
