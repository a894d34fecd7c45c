import { VerifyQueryError } from './errors.js'

/** Visible ASCII without "&", which would begin another parameter, and "+", which is ambiguous: itself, or a space. */
const QUERY = /^user=([!-%'-*,-~]*)$/

/**
 * Returns the names in a query, or null without a query. Anything unclear is refused: a mistake in the configuration of a proxy
 * must not let every user in.
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
