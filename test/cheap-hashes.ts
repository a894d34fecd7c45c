import { ARGON2ID } from '../plugins/accounts/password.js'

// Imported by files that log in hundreds of times and do not test the hash: each costs 20 ms of the processor otherwise.
Object.assign(ARGON2ID, { memoryCost: 64, timeCost: 1 })
