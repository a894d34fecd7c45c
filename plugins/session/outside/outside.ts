import type { SessionFields } from '../../store/sessions.js'
import type { Ticket } from '../../tickets/ticket.js'
import type { SessionBackend } from '../backend/backend.js'
import type { SessionEmitter } from '../backend/events.js'
import type { Finder } from '../backend/find.js'
import { HTTP, HTTPS, type Connection, type CookieProfile } from '../cookie/cookie-profile.js'
import { isApplicationKey } from '../model/fields.js'
import { fromJson } from '../model/json.js'
import type { Rules } from '../model/plan.js'
import type { SessionContext } from '../request/context.js'

/** Begins and reads sessions without a request of Fastify. The events of such a session have no request. */
export interface Outside extends Rules, Pick<SessionContext, 'writer' | 'cookie' | 'schema' | 'newId' | 'handleOf'>, Pick<Finder, 'findAmong'> {
  readonly backend: SessionBackend
  readonly emitter: SessionEmitter
  profileOf (connection: Connection): CookieProfile
  /** Returns the valid tickets in a Cookie header. */
  ticketsIn (header: string, name: string): readonly Ticket[]
}

/** Returns the cookie for a browser on https, or on http. */
export function profileFor (secure: boolean, { profileOf }: Outside): CookieProfile {
  return profileOf(secure ? HTTPS : HTTP)
}

/** Returns the values that fit the schema, without those that say who is logged in. */
export function dataOf (fields: SessionFields, { schema }: Pick<Outside, 'schema'>): Record<string, unknown> {
  const misfits = schema?.misfits(fields)
  const keys = Object.keys(fields).filter((key) => isApplicationKey(key) && misfits?.has(key) !== true)
  return Object.fromEntries(keys.map((key) => [key, fromJson(fields[key])]))
}
