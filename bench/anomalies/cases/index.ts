import { lateCookie, revival } from './after-logout.js'
import type { Case } from './case.js'
import { fixation } from './fixation.js'
import { kill } from './kill.js'
import { loginLogout } from './login-logout.js'
import { lostUpdate } from './lost-update.js'
import { replay } from './replay.js'
import { revokeAll } from './revoke-all.js'
import { staleTouch } from './stale-touch.js'
import { storeDown } from './store-down.js'
import { twoUsers } from './two-users.js'

/** The order is that of the table. */
export const cases = {
  'lost-update': lostUpdate,
  'stale-touch': staleTouch,
  revival,
  'late-cookie': lateCookie,
  replay,
  fixation,
  'login-logout': loginLogout,
  'two-users': twoUsers,
  'revoke-all': revokeAll,
  'store-down': storeDown,
  kill
} satisfies Record<string, Case>

export type CaseName = keyof typeof cases
