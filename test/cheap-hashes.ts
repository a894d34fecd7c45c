import type { Test } from 'tap'
import { ARGON2ID } from '../plugins/accounts/password.js'

const { memoryCost, timeCost } = ARGON2ID

// Imported by files that log in hundreds of times: a hash costs 20 ms of the processor otherwise.
Object.assign(ARGON2ID, { memoryCost: 64, timeCost: 1 })

/** Makes hashing as expensive as it is in production, for a test of what goes on meanwhile. */
export function realHashes (t: Test): void {
  const cheap = { ...ARGON2ID }
  Object.assign(ARGON2ID, { memoryCost, timeCost })
  t.teardown(() => { Object.assign(ARGON2ID, cheap) })
}
