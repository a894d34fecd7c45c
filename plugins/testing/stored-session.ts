import { SessionGoneError } from '../session/model/errors.js'
import { entriesOf } from '../session/model/fields.js'
import { toJson } from '../session/model/json.js'
import { dataOf, type Outside } from '../session/outside/outside.js'
import { planChanges, type Plan } from '../session/model/plan.js'
import { Snapshot } from '../session/model/snapshot.js'
import { guarded } from '../store/errors.js'
import type { Stored } from '../session/model/stored.js'

/**
 * Changes the values of a stored session, and begins one if there is none. Only the changed keys are written, as for a request.
 *
 * @returns the session; null if there was none and no value was set, or none is left.
 * @throws SessionKeyError, SessionValueError, SessionTooLargeError, AnonymousSessionError, SessionGoneError, StoreUnavailableError
 */
export async function editSession<Values> (stored: Stored | null, change: (data: Values) => unknown, outside: Outside): Promise<Stored | null> {
  const fields = stored?.record.fields ?? {}
  const data = dataOf(fields, outside)
  const before = Object.keys(data)
  await change(data as Values)
  const set: Record<string, string> = {}
  const remove = new Set(before)
  for (const [key, value] of entriesOf(data)) {
    if (value === undefined) continue
    remove.delete(key)
    const text = toJson(key, value)
    if (text !== fields[key]) set[key] = text
  }
  const entries = Object.entries(data)
  outside.schema?.assertFits(entries.filter(([key]) => key in set), new Snapshot(entries))
  const plan = planChanges(stored, { set, remove, permanent: null }, outside)
  return await carryOut(plan, stored, outside)
}

/** Ends a session, or its successor, as a logout does. */
export async function endSession ({ ticket }: Stored, { backend, emitter }: Outside): Promise<void> {
  const ended = await guarded('remove', () => backend.end(ticket))
  if (ended !== null) emitter.emit('destroyed', ended.key, ended.record.user)
}

async function carryOut (plan: Plan, stored: Stored | null, { writer, newId }: Outside): Promise<Stored | null> {
  if (plan.do === 'create') return await writer.create(newId(), plan.record, null)
  if (stored === null || plan.do === 'nothing') return stored
  const next = plan.do === 'patch' ? await writer.patch(stored, plan.changes, null) : await writer.replace(stored, newId(), plan.change, null)
  if (next === null) throw new SessionGoneError()
  return 'ticket' in next ? next : next.next
}
