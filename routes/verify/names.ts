import { VerifyQueryError } from './errors.js'

/** The headers of an answer that lets nobody in. */
export const NOBODY = { 'remote-user': '', 'remote-session': '' }

/** Visible ASCII, but no "&", which would begin another parameter, and no "+", which may mean itself or a space. */
const QUERY = /^user=([!-%'-*,-~]*)$/

/**
 * The names that a query has, or null if there is no query. What is not understood is refused: a slip in the configuration
 * of a proxy must not let everybody in.
 *
 * @throws VerifyQueryError
 */
export function namesOf (query: string): string[] | null {
  if (query === '') return null
  const list = QUERY.exec(query)?.[1]
  if (list === undefined) throw new VerifyQueryError()
  try {
    // Decoded after the split, so that a name can have a comma.
    return list.split(',').filter((name) => name !== '').map(decodeURIComponent)
  } catch {
    throw new VerifyQueryError()
  }
}
