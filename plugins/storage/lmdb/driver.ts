import { unlessInstalled } from '../../common/not-installed.js'

/** The part of the package lmdb that hatcheck calls. */
export type Lmdb = Pick<typeof import('lmdb'), 'open'>

/** Loads LMDB, which is native. @throws ConfigError if it is not installed. */
export async function loadLmdb (): Promise<Lmdb> {
  return await import('lmdb').catch(unlessInstalled('lmdb'))
}
