import { lazyPackage } from '../common/lazy-package.js'
import { accountKey } from './name.js'

/** The shortest password that any configuration allows: what is left of one must still be one. */
const SHORTEST = 8
/** Shorter names are in many words. */
const SHORTEST_NAME = 3
/** Runs of fewer characters are in many words. */
const SHORTEST_RUN = 4

/** One after another, and from the last on to the first. */
const ROWS = ['abcdefghijklmnopqrstuvwxyz', '1234567890']

/** From the first letter or digit to the last, and from the first letter to the last. */
const WITHIN = [/[\p{L}\p{N}](?:.*[\p{L}\p{N}])?/su, /\p{L}(?:.*\p{L})?/su]

/**
 * Whether a password is among the first that someone would try: on the list of common passwords, such a one repeated or
 * with a little around it, a row of keys, or little more than the account's name or this service's. Case and what
 * surrounds it make no difference.
 *
 * The list is `passwords-common` of the npm package `@zxcvbn-ts/language-common` (MIT): 49,233 passwords, most common
 * first. 17,950 of them have 8 characters or more, and 41 have 15: there it is the repetitions that matter.
 *
 * @param name of the account
 */
export async function isCommonPassword (password: string, name: string): Promise<boolean> {
  const lists = load()
  const text = folded(password)
  const own = [folded(name), 'hatcheck'].filter((word) => [...word].length >= SHORTEST_NAME)
  return [text, ...own.flatMap((word) => withoutName(text, word))].some((part) => part.length < SHORTEST || isEasy(part, lists))
}

interface Lists {
  words: ReadonlySet<string>
  /** For each keyboard and row: each key with the next. */
  neighbours: ReadonlyArray<ReadonlySet<string>>
}

const language = lazyPackage<typeof import('@zxcvbn-ts/language-common')>('@zxcvbn-ts/language-common')
let lists: Lists | undefined

/** Loaded when the first new password is judged, which takes a tenth of a second: most processes never judge one. */
function load (): Lists {
  if (lists === undefined) {
    const { dictionary, adjacencyGraphs: { qwerty, qwertz, azerty, dvorak } } = language()
    lists = {
      words: new Set(dictionary['passwords-common']),
      neighbours: [pairsOfRows(), ...[qwerty, qwertz, azerty, dvorak].map(pairsOfKeyboard)]
    }
  }
  return lists
}

function folded (text: string): string {
  return accountKey(text.normalize('NFKC').trim())
}

/** What is left of a password that has the name in it. */
function withoutName (text: string, name: string): string[] {
  return text.includes(name) ? [text.replaceAll(name, '')] : []
}

function isEasy (text: string, { words, neighbours }: Lists): boolean {
  return cores(text).some((core) => {
    for (let length = 1; length <= core.length; length++) {
      // Whether all of it is its beginning again and again, the last time perhaps in part.
      if (!core.startsWith(core.slice(length))) continue
      if (length < SHORTEST && length * 2 <= core.length) return true
      if (cores(core.slice(0, length)).some((piece) => words.has(piece))) return true
    }
    return neighbours.some((pairs) => isRun(core, pairs))
  })
}

/** The text; what is within a few signs around; what is within a few signs and digits around. */
function cores (text: string): string[] {
  return [text, ...WITHIN.flatMap((within) => within.exec(text)?.[0] ?? [])].filter((core) => text.length - core.length < SHORTEST)
}

/** Whether one finger after the other goes to a key beside the last, but for a few leaps. */
function isRun (text: string, neighbours: ReadonlySet<string>): boolean {
  const characters = [...text]
  const leaps = characters.filter((key, i) => i > 0 && key !== characters[i - 1] && !neighbours.has(`${characters[i - 1]}${key}`)).length
  return characters.length >= SHORTEST && (leaps + 1) * SHORTEST_RUN <= characters.length
}

function pairsOfRows (): Set<string> {
  return new Set(ROWS.flatMap((row) => [...row].flatMap((key, i) => {
    const next = row[(i + 1) % row.length] as string
    return [key + next, next + key]
  })))
}

function pairsOfKeyboard (keyboard: Record<string, Array<string | null>>): Set<string> {
  return new Set(Object.entries(keyboard).flatMap(([key, around]) => around.flatMap((next) => [...next ?? ''].map((sign) => folded(key + sign)))))
}
