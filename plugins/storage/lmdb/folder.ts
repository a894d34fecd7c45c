import { join, resolve } from 'node:path'

/** The folder that an url of LMDB stands for. */
export function lmdbFolder (url: string, dataDir: string): string {
  const path = url.slice('lmdb:'.length)
  return path === '' ? join(dataDir, 'lmdb') : resolve(path)
}
