import { randomBytes } from 'node:crypto'
import { fromJson } from './json.js'
import { OWN_PREFIX } from './own-fields.js'
import type { SessionFields } from './store.js'

/** A message for the next page. */
export interface Flash {
  /** What sort of message: `'info'`, `'error'`, whatever the pages know. */
  kind: string
  text: string
}

/**
 * Each message is a field of its own: two requests that leave one at the same time touch different fields, and whoever
 * takes a field out of the store is the only one who shows it.
 */
export const FLASH_PREFIX = `${OWN_PREFIX}flash:`

let count = 0

/** A name that sorts by time, and within this process by order. */
export function flashField (now: number): string {
  count = (count + 1) % 1_000_000
  return `${FLASH_PREFIX}${pad(now, 9)}${pad(count, 4)}${randomBytes(4).toString('hex')}`
}

export function flashText ({ kind, text }: Flash): string {
  return JSON.stringify([kind, text])
}

/** The messages in these fields, oldest first. */
export function flashesOf (fields: SessionFields): Flash[] {
  return Object.keys(fields).sort().flatMap((name) => {
    const message = fromJson(fields[name])
    return Array.isArray(message) ? [{ kind: String(message[0]), text: String(message[1]) }] : []
  })
}

function pad (number: number, length: number): string {
  return number.toString(36).padStart(length, '0')
}
