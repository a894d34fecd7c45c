import { FlaskDepthError } from '../../store/errors.js'
import { comparePythonStrings, pythonNumber, pythonString } from './python-json.js'
import type { Json, Source } from './source.js'
import { DICT_SUFFIX, DICT_TAG, isTag, TUPLE_TAG } from './tags.js'

/** Flask reads and writes at least this many levels of any kind. */
const MAX_DEPTH = 200

/**
 * Writes a value as Flask does.
 *
 * @param before what Flask had written in its place. Parts that are the same go back as they were, and a tuple stays a tuple.
 * @throws FlaskDepthError
 */
export function writeTagged (value: Json, before?: Source, depth = 1): string {
  if (depth > MAX_DEPTH) throw new FlaskDepthError(MAX_DEPTH)
  if (isList(value)) {
    const items = before !== undefined && 'items' in before ? before.items : []
    const text = `[${value.map((item, index) => writeTagged(item, items[index], depth + 1)).join(',')}]`
    return before?.kind === 'tuple' ? `{${pythonString(TUPLE_TAG)}:${text}}` : text
  }
  if (typeof value === 'object' && value !== null) return writeDict(value, before, depth)
  if (before !== undefined && before.value === value) return before.text
  if (typeof value === 'string') return pythonString(value)
  return typeof value === 'number' ? pythonNumber(value) : String(value)
}

/** Writes an object with the keys in the order of Flask. */
function writeMembers (members: ReadonlyArray<readonly [key: string, text: string]>): string {
  const sorted = [...members].sort(([a], [b]) => comparePythonStrings(a, b))
  return `{${sorted.map(([key, text]) => `${pythonString(key)}:${text}`).join(',')}}`
}

/** Marks an object that would be taken for a tag. */
export function escapeTag (members: ReadonlyArray<readonly [key: string, text: string]>): string {
  const [[key, text] = ['', '']] = members
  return members.length === 1 && isTag(key)
    ? writeMembers([[DICT_TAG, writeMembers([[key + DICT_SUFFIX, text]])]])
    : writeMembers(members)
}

function writeDict (dict: { readonly [key: string]: Json }, before: Source | undefined, depth: number): string {
  const parts = before !== undefined && 'members' in before ? before.members : undefined
  return escapeTag(Object.entries(dict).map(([key, value]) => [key, writeTagged(value, parts?.get(key), depth + 1)]))
}

function isList (value: Json): value is readonly Json[] {
  return Array.isArray(value)
}
