import type { SessionRecord } from '../../store/record.js'

/** How much earlier than a session expires the index by expiry may name it, as a part of its idle time. */
const LEEWAY = 1 / 20

/**
 * Returns when the index by expiry names a session that has changed: at most 1/20 of the idle time before it expires. Changes
 * in quick succession have the same time, so they leave the index alone.
 *
 * The entry of a session is there or, if no change has moved it since, when the session expires: a new session has not changed,
 * and the sweep moves an entry there that it finds too early.
 */
export function dueTime ({ seenAt, expiresAt }: Pick<SessionRecord, 'seenAt' | 'expiresAt'>): number {
  // A power of two: as the rest of its lifetime gets shorter, the times of a session seldom change.
  const step = 2 ** Math.floor(Math.log2((expiresAt - seenAt) * LEEWAY))
  return step > 1 ? Math.floor(expiresAt / step) * step : expiresAt
}
