import { Admission, isRefusal, type Kind } from '../../plugins/throttle/admission.js'
import { MemoryAttempts } from '../../plugins/storage/memory/attempts.js'
import { World } from './world.js'

/** A person who is refused for longer gives up. */
const PATIENCE_SECONDS = 60
/** How often a person mistypes a password. */
const MISTYPED = 0.05
/** All people of an office share one address. */
const PEOPLE_IN_OFFICE = 15

export interface SimulationOptions {
  users: number
  hours: number
  /** The seed of all random decisions. */
  seed: number
}

/** The user and the network of a login. */
export type Group = 'known device' | 'newcomer, known network' | 'newcomer, new network'

export interface Share {
  logins: number
  /** Logins that succeed at the first or second attempt. */
  in: number
}

export interface Outcome {
  groups: Record<Group, Share>
  /** Passwords of the attacker that were checked. */
  guesses: number
  /** The maximum of them for one account. */
  mostForOne: number
}

export interface User {
  account: string
  home: string
}

/** The abilities of an attacker. */
export interface Battlefield {
  world: World
  users: readonly User[]
  /** Tries a wrong password. Returns null if the password was checked. */
  guess (from: { account: string, address: string, device?: string }): Promise<{ reason: Kind, waitSeconds: number } | null>
}

export type Attack = (field: Battlefield) => void

/** Runs one attack against honest users, in fake time, with the rules and counters of the service. */
export async function simulate (attack: Attack, { users: count, hours, seed }: SimulationOptions): Promise<Outcome> {
  const world = new World(hours * 3_600, seed)
  const attempts = new MemoryAttempts()
  const admission = new Admission({ attempts, now: () => world.nowMs, hash: (text) => text })
  const users = peopleOf(count)
  const groups: Outcome['groups'] = {
    'known device': { logins: 0, in: 0 },
    'newcomer, known network': { logins: 0, in: 0 },
    'newcomer, new network': { logins: 0, in: 0 }
  }
  const guessesFor = new Map<string, number>()

  // Every user has logged in at home before.
  for (const { account, home } of users) await tryOnce({ account, address: home, device: null }, true)
  for (const user of users) {
    for (let i = 0; i < 3; i++) logIn('known device', user, world.chance(0.5) ? user.home : elsewhere())
    logIn('newcomer, known network', user, user.home)
    logIn('newcomer, new network', user, elsewhere())
  }
  attack({
    world,
    users,
    async guess ({ account, address, device = null }) {
      const refusal = await tryOnce({ account, address, device }, false)
      if (refusal === null) guessesFor.set(account, (guessesFor.get(account) ?? 0) + 1)
      return refusal
    }
  })
  world.every(60, () => { attempts.sweep(world.nowMs) })
  await world.run()
  const each = [...guessesFor.values()]
  return { groups, guesses: each.reduce((sum, guesses) => sum + guesses, 0), mostForOne: Math.max(0, ...each) }

  /** One login at a random time of the day, with a second attempt if the first fails. */
  function logIn (group: Group, { account }: User, address: string): void {
    const device = group === 'known device' ? `the device of ${account}` : null
    const share = groups[group]
    // No login begins too late for a second attempt.
    world.at(world.below(world.seconds - 2 * PATIENCE_SECONDS), async () => {
      share.logins++
      const isMistyped = world.chance(MISTYPED)
      const refusal = await tryOnce({ account, address, device }, !isMistyped)
      if (refusal === null && !isMistyped) {
        share.in++
        return
      }
      const waitSeconds = refusal?.waitSeconds ?? 5
      if (waitSeconds > PATIENCE_SECONDS) return
      world.in(waitSeconds, async () => {
        const isRight = !world.chance(MISTYPED)
        if (await tryOnce({ account, address, device }, isRight) === null && isRight) share.in++
      })
    })
  }

  async function tryOnce (applicant: { account: string, address: string, device: string | null }, isRight: boolean): Promise<{ reason: Kind, waitSeconds: number } | null> {
    const attempt = await admission.attemptOf(applicant)
    if (isRefusal(attempt)) return { reason: attempt.reason, waitSeconds: Math.ceil(attempt.waitMs / 1_000) }
    // No other login runs meanwhile.
    await attempt.admit()
    await (isRight ? attempt.succeeded() : attempt.failed())
    return null
  }

  /** A network that the account has not used before. */
  function elsewhere (): string {
    return world.chance(0.5) ? `100.${world.below(128)}.${world.below(256)}.${world.below(256)}` : `2001:db8:${hex(world.below(65_536))}:${hex(world.below(65_536))}::1`
  }
}

/** A third each: with an IPv4 address, with an IPv6 network, and in an office. */
function peopleOf (count: number): User[] {
  return Array.from({ length: count }, (_, i) => {
    const office = Math.floor(i / 3 / PEOPLE_IN_OFFICE)
    const homes = [`203.0.${i >> 8}.${i & 255}`, `2001:db8:${hex(i >> 6)}:${hex((i & 63) << 8)}::1`, officeAddress(office)]
    return { account: `user ${i}`, home: homes[i % 3] as string }
  })
}

export function officeAddress (office: number): string {
  return `198.51.${office}.1`
}

export function hex (number: number): string {
  return number.toString(16)
}
