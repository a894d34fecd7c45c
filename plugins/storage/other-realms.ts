import type { CompleteSessionStore } from '../store/traits.js'
import type { Engine } from './common/storage.js'
import { revocationsIn } from './cookie/realm.js'
import { CookieSessions } from './cookie/sessions.js'
import { inRealm } from './realm.js'

/** Returns what ends the sessions of a user in another realm. Only that realm knows whether they are in the engine or in cookies. */
export function otherRealmsIn ({ sessions, openRevocations }: Engine, now: () => number) {
  return (realm: string): Pick<CompleteSessionStore, 'removeOfUser'> => {
    const stored = inRealm(sessions, realm)
    const inCookies = new CookieSessions({ revocations: revocationsIn(realm, openRevocations()), isEnforced: true, engine: sessions, now })
    return {
      async removeOfUser (user) {
        const [ended] = await Promise.all([stored.removeOfUser(user), inCookies.removeOfUser(user)])
        return ended
      }
    }
  }
}
