import { readFile } from 'node:fs/promises'
import nodeModule from 'node:module'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { unlessInstalled } from '../common/not-installed.js'
import { accountKey } from '../store/accounts.js'

/** The shortest password that any configuration allows. Fewer characters around a word do not make a password strong. */
const SHORTEST = 8
/** Shorter names occur in many words. */
const SHORTEST_NAME = 3
/** Shorter runs occur in many words. */
const SHORTEST_RUN = 4

/** Sequences, which go on from the last character to the first. */
const ROWS = ['abcdefghijklmnopqrstuvwxyz', '1234567890']

/** Match from the first letter or digit to the last, and from the first letter to the last. */
const WITHIN = [/[\p{L}\p{N}](?:.*[\p{L}\p{N}])?/su, /\p{L}(?:.*\p{L})?/su]

/** The longest text after NFKC, in UTF-16 units; a longer one is checked as it is. NFKC turns some characters into 18. */
const LONGEST = 1_024

/** How many words are added to the set in one turn of the event loop: about a millisecond of work. */
const WORDS_AT_ONCE = 5_000

/**
 * Tells whether a password is among the first that an attacker tries: a common password, even repeated or with a few characters
 * around it, a row of keys, or little more than the account's name or "hatcheck". Case makes no difference. The work grows
 * with the length, which the caller must have checked.
 *
 * The list is `passwords-common` of the npm package `@zxcvbn-ts/language-common` (MIT): 49,233 passwords, most common
 * first. 17,950 of them have 8 characters or more, only 41 have 15: among long passwords, the repetitions matter.
 *
 * @param name the name of the account
 */
export async function isCommonPassword (password: string, name: string): Promise<boolean> {
  const lists = await load()
  const text = folded(password)
  const own = [folded(name), 'hatcheck'].filter((word) => [...word].length >= SHORTEST_NAME)
  return [text, ...own.flatMap((word) => withoutName(text, word))].some((part) => part.length < SHORTEST || isEasy(part, lists))
}

interface Lists {
  words: ReadonlySet<string>
  /** The length of the longest word. */
  longest: number
  /** For each keyboard and sequence: the pairs of neighboring keys. */
  neighbors: ReadonlyArray<ReadonlySet<string>>
}

let loading: Promise<Lists> | undefined

/** Loads the lists at the first new password, since most processes never check one. After a failure the next call tries again. */
function load (): Promise<Lists> {
  loading ??= read().catch((error: unknown) => {
    loading = undefined
    throw error
  })
  return loading
}

/** Reads the JSON sources of the package in parts: importing it would block the event loop for a tenth of a second. */
async function read (): Promise<Lists> {
  const list: string[] = await readList('passwords')
  const words = new Set<string>()
  let longest = 0
  for (let i = 0; i < list.length; i += WORDS_AT_ONCE) {
    for (const word of list.slice(i, i + WORDS_AT_ONCE)) {
      words.add(word)
      longest = Math.max(longest, word.length)
    }
    await nextTurn()
  }
  const { qwerty, qwertz, azerty, dvorak }: Record<'qwerty' | 'qwertz' | 'azerty' | 'dvorak', Keyboard> = await readList('adjacencyGraphs')
  return { words, longest, neighbors: [pairsOfRows(), ...[qwerty, qwertz, azerty, dvorak].map(pairsOfKeyboard)] }
}

const PACKAGE = '@zxcvbn-ts/language-common'

async function readList (name: 'passwords' | 'adjacencyGraphs') {
  try {
    const { resolve } = nodeModule.createRequire(import.meta.url)
    return JSON.parse(await readFile(resolve(`${PACKAGE}/src/${name}.json`), 'utf8'))
  } catch (error) {
    return unlessInstalled(PACKAGE)(error)
  }
}

function folded (text: string): string {
  const spelledOut = text.normalize('NFKC')
  return accountKey((spelledOut.length > LONGEST ? text : spelledOut).trim())
}

/** Returns what is left of a password that contains the name. */
function withoutName (text: string, name: string): string[] {
  return text.includes(name) ? [text.replaceAll(name, '')] : []
}

function isEasy (text: string, { words, longest, neighbors }: Lists): boolean {
  return cores(text).some((core) => {
    // A longer piece cannot be a word, even with characters around it.
    const longestPiece = Math.min(core.length, longest + SHORTEST - 1)
    for (let length = 1; length <= longestPiece; length++) {
      // Only a piece that the whole text repeats, the last time perhaps in part.
      if (!core.startsWith(core.slice(length))) continue
      if (length < SHORTEST && length * 2 <= core.length) return true
      if (cores(core.slice(0, length)).some((piece) => words.has(piece))) return true
    }
    const keys = [...core]
    return keys.length >= SHORTEST && neighbors.some((pairs) => isRun(keys, pairs))
  })
}

/** Returns the text, and the text without a few signs, or a few signs and digits, around it. */
function cores (text: string): string[] {
  const all = [text, ...WITHIN.flatMap((within) => within.exec(text)?.[0] ?? [])].filter((core) => text.length - core.length < SHORTEST)
  return [...new Set(all)]
}

/** Tells whether each key is beside the one before it, with few exceptions. */
function isRun (keys: readonly string[], neighbors: ReadonlySet<string>): boolean {
  const mostLeaps = keys.length / SHORTEST_RUN - 1
  let leaps = 0
  for (let i = 1; i < keys.length && leaps <= mostLeaps; i++) {
    const [before, key] = [keys[i - 1] as string, keys[i] as string]
    if (key !== before && !neighbors.has(before + key)) leaps++
  }
  return leaps <= mostLeaps
}

function pairsOfRows (): Set<string> {
  return new Set(ROWS.flatMap((row) => [...row].flatMap((key, i) => {
    const next = row[(i + 1) % row.length] as string
    return [key + next, next + key]
  })))
}

type Keyboard = Record<string, Array<string | null>>

function pairsOfKeyboard (keyboard: Keyboard): Set<string> {
  return new Set(Object.entries(keyboard).flatMap(([key, around]) => around.flatMap((next) => [...next ?? ''].map((sign) => folded(key + sign)))))
}
