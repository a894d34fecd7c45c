import type { Test } from 'tap'
import { ARGON2ID } from '../../plugins/accounts/password.js'

const { memoryCost, timeCost } = ARGON2ID

// For files with hundreds of logins: a hash normally takes 20 ms of CPU time.
Object.assign(ARGON2ID, { memoryCost: 64, timeCost: 1 })

/** Makes hashing as expensive as in production, for a test of what happens during a hash. */
export function realHashes (t: Test): void {
  const cheap = { ...ARGON2ID }
  Object.assign(ARGON2ID, { memoryCost, timeCost })
  t.teardown(() => { Object.assign(ARGON2ID, cheap) })
}
