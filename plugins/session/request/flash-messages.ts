import { randomBytes } from 'node:crypto'
import { OWN_PREFIX } from '../../store/identity.js'
import type { SessionFields } from '../../store/sessions.js'
import { SessionCommittedError } from '../model/errors.js'
import { fromJson } from '../model/json.js'
import type { Session } from './session.js'

/** A message for the next page. */
export interface Flash {
  /** A kind that the pages know, such as `'info'` or `'error'`. */
  kind: string
  text: string
}

/**
 * Each flash message is a field of its own: parallel requests that leave messages write different fields, and the request
 * that takes a field out of the store is the only one that shows it.
 */
const FLASH_PREFIX = `${OWN_PREFIX}flash:`

const takenBy = new WeakMap<Session, Flash[]>()
let count = 0

export function addFlash (session: Session, { kind, text }: Flash): void {
  session.put(flashField(session.context.now()), [kind, text])
}

/** Takes every flash message and returns those of these kinds. Asked again, the request gets the same messages. */
export function takeFlashes (session: Session, kinds: readonly string[]): Promise<Flash[]> {
  const changes = session.isClosed ? null : session.values.takeWithPrefix(FLASH_PREFIX)
  return session.call(async () => {
    if (changes === null) throw new SessionCommittedError()
    let flashes = takenBy.get(session)
    try {
      if (flashes === undefined) {
        flashes = flashesOf({ ...await takeStored(session), ...changes.extract(FLASH_PREFIX) })
        takenBy.set(session, flashes)
      }
    } finally {
      session.values.restore(changes)
    }
    return flashes.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind))
  })
}

async function takeStored (session: Session): Promise<SessionFields> {
  const { stored, context } = session
  if (stored === null || !Object.keys(stored.record.fields).some((name) => name.startsWith(FLASH_PREFIX))) return {}
  const { taken, rest } = await context.writer.take(stored, FLASH_PREFIX)
  session.rebase(rest)
  // The cookie carries the messages. It is written at the commit, if the session has not ended by then.
  if (rest.ticket !== stored.ticket) session.isTouchForced = true
  return taken
}

/** Returns the flash messages in these fields, oldest first. */
export function flashesOf (fields: SessionFields): Flash[] {
  return Object.keys(fields).filter((name) => name.startsWith(FLASH_PREFIX)).sort().flatMap((name) => {
    const message = fromJson(fields[name])
    return Array.isArray(message) ? [{ kind: String(message[0]), text: String(message[1]) }] : []
  })
}

/** Makes a field name that sorts by time, and within this process by order. */
function flashField (now: number): string {
  count = (count + 1) % 1_000_000
  return `${FLASH_PREFIX}${toBase36(now, 9)}${toBase36(count, 4)}${randomBytes(4).toString('hex')}`
}

function toBase36 (number: number, length: number): string {
  return number.toString(36).padStart(length, '0')
}
