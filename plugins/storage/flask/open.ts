import type { Config } from '../../config/resolve.js'
import { NO_REVOCATIONS } from '../../store/revocations.js'
import { COOKIE_LOSSES, FLASK_LOSSES, REVOCATION_LOSSES } from '../cookie/losses.js'
import type { AnyRealm, Engine } from '../common/storage.js'
import { CookieSessions } from '../cookie/sessions.js'
import { createFlaskCodec } from './codec.js'

/** Keeps the sessions in the cookies of a Flask application. The engine keeps the accounts. */
export function openFlask (engine: Engine, { sessionMaxBytes: maxBytes, lifetimes, now }: Pick<Config, 'sessionMaxBytes' | 'lifetimes' | 'now'>): AnyRealm {
  const { lifetimeSeconds } = lifetimes.permanent
  return {
    ...engine,
    sessions: new CookieSessions({ revocations: NO_REVOCATIONS, isEnforced: false, engine: engine.sessions, now }),
    carried: { revocations: NO_REVOCATIONS, codecOf: (secrets) => createFlaskCodec({ secrets, lifetimeSeconds, maxBytes, now }) },
    losses: [...COOKIE_LOSSES, ...REVOCATION_LOSSES, ...FLASK_LOSSES],
    description: `cookies of Flask; accounts in ${engine.description}`
  }
}
