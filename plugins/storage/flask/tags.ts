import { dictOf, listOf, type Meaning, type Source } from './source.js'

/** Means that Flask has not written this. */
export class NotFlaskError extends Error {}

/**
 * An object with one of these as its only key is a value of a type that JSON lacks. Flask wraps an object of the application
 * that looks like one in {@link DICT_TAG}, with {@link DICT_SUFFIX} after its key.
 */
const tags: ReadonlyMap<string, (content: Source) => Meaning> = new Map([
  [' t', (content: Source) => 'items' in content ? listOf('tuple', content.items) : fail()],
  [' di', (content: Source) => {
    const [[key, member] = fail(), ...others] = 'members' in content ? content.members : []
    return others.length === 0 && key.endsWith(DICT_SUFFIX) ? dictOf(new Map([[key.slice(0, -DICT_SUFFIX.length), member]])) : fail()
  }],
  [' b', (content: Source) => scalar(textOf(content))],
  [' m', (content: Source) => scalar(textOf(content))],
  [' u', (content: Source) => scalar(uuidOf(textOf(content)))],
  [' d', (content: Source) => scalar(isoDate(textOf(content)))]
])

export const TUPLE_TAG = ' t'
export const DICT_TAG = ' di'
export const DICT_SUFFIX = '__'

export function isTag (key: string): boolean {
  return tags.has(key)
}

/** Returns what an object with these members means. @throws NotFlaskError */
export function meaningOf (members: ReadonlyMap<string, Source>): Meaning {
  const [[key, content] = []] = members
  const read = members.size === 1 && key !== undefined ? tags.get(key) : undefined
  return read === undefined || content === undefined ? dictOf(members) : read(content)
}

function fail (): never {
  throw new NotFlaskError()
}

function scalar (value: string | null): Meaning {
  return { kind: 'scalar', value }
}

function textOf ({ value }: Source): string {
  return typeof value === 'string' ? value : fail()
}

function uuidOf (hex: string): string {
  const [, ...parts] = /^([\da-f]{8})([\da-f]{4})([\da-f]{4})([\da-f]{4})([\da-f]{12})$/i.exec(hex) ?? fail()
  return parts.join('-').toLowerCase()
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Returns what JSON makes of the Date; null if there is no such time, which is None in Flask too. */
function isoDate (text: string): string | null {
  const [, day = '', month = '', year = '', time = ''] = /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d:\d\d:\d\d) GMT$/.exec(text) ?? []
  const iso = `${fullYear(year)}-${String(MONTHS.indexOf(month) + 1).padStart(2, '0')}-${day}T${time}.000Z`
  const date = new Date(iso)
  return !Number.isNaN(date.getTime()) && date.toISOString() === iso ? iso : null
}

/** Python takes a year before 100 for one between 1969 and 2068. Source: email.utils.parsedate_to_datetime */
function fullYear (year: string): string {
  const number = Number(year)
  return number >= 100 ? year : String(number + (number > 68 ? 1900 : 2000))
}
