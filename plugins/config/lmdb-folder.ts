import { join, resolve } from 'node:path'

/** Returns the folder that an LMDB url names. */
export function lmdbFolder (url: string, dataDir: string): string {
  const path = url.slice('lmdb:'.length)
  return path === '' ? join(dataDir, 'lmdb') : resolve(path)
}
