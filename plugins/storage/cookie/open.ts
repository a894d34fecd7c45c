import { randomUUID } from 'node:crypto'
import type { Config } from '../../config/resolve.js'
import { NO_REVOCATIONS } from '../../store/revocations.js'
import { COOKIE_LOSSES, REVOCATION_LOSSES } from './losses.js'
import type { AnyRealm, Engine } from '../common/storage.js'
import { revocationsIn } from './realm.js'
import { createSealedCodec } from './sealed.js'
import { CookieSessions } from './sessions.js'

/**
 * Keeps the sessions in the cookies of the browsers, encrypted. The engine keeps the accounts, and which sessions have ended.
 */
export function openCookie (engine: Engine, config: Pick<Config, 'realm' | 'sessionStore' | 'sessionMaxBytes' | 'sessionRevocation' | 'now'>): AnyRealm {
  const { realm, sessionStore, sessionMaxBytes, sessionRevocation, now } = config
  const isEnforced = sessionRevocation === 'store'
  const isInMemory = sessionStore.kind === 'engine' && sessionStore.engine.name === 'memory'
  // In memory, the ends of sessions are forgotten with the store, so no cookie may be worth anything after it.
  const boundTo = isEnforced && isInMemory ? `${realm}\0${randomUUID()}` : realm
  const revocations = isEnforced ? revocationsIn(realm, engine.openRevocations()) : NO_REVOCATIONS
  return {
    ...engine,
    sessions: new CookieSessions({ revocations, isEnforced, engine: engine.sessions, now }),
    carried: { revocations, codecOf: (secrets) => createSealedCodec(secrets, boundTo, sessionMaxBytes) },
    losses: isEnforced ? COOKIE_LOSSES : [...COOKIE_LOSSES, ...REVOCATION_LOSSES],
    description: `cookies of the browsers; accounts, and which sessions have ended, in ${engine.description}`
  }
}
