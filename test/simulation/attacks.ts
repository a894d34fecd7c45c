import { hex, officeAddress, type Attack, type Battlefield } from './simulation.js'

/** An attacker guesses as fast as allowed, and knows when each account can be tried again. */
interface Bot {
  /** The address of the next attempt. */
  address: () => string
  device?: () => string
  accounts: readonly string[]
}

/** The number of accounts that a bot checks before it rests. */
const LOOKS = 20
const REST_SECONDS = 10

export const attacks: Record<string, Attack> = {
  nobody () {},

  'one address, in an office with 15 users' ({ users, ...field }) {
    send({ users, ...field }, [{ address: () => officeAddress(0), accounts: names(users) }])
  },

  'one /48, with 64 users in it' ({ users, ...field }) {
    let network = 0
    const address = (): string => `2001:db8:1:${hex(network++ % 65_536)}::bad`
    send({ users, ...field }, Array.from({ length: 10 }, () => ({ address, accounts: names(users) })))
  },

  '1,000 addresses, all accounts' ({ users, ...field }) {
    send({ users, ...field }, botnet(names(users)))
  },

  '1,000 addresses, 50 accounts' ({ users, ...field }) {
    send({ users, ...field }, botnet(names(users).slice(0, 50)))
  },

  '1,000 addresses, one account' ({ users, ...field }) {
    send({ users, ...field }, botnet(names(users).slice(0, 1)))
  },

  '40 device cookies of one account' ({ users, ...field }) {
    const accounts = names(users).slice(0, 1)
    send({ users, ...field }, Array.from({ length: 40 }, (_, i) => ({ address: () => '192.0.2.1', device: () => `stolen ${i}`, accounts })))
  },

  '40 device cookies of 40 accounts, the owners\' own' ({ users, ...field }) {
    send({ users, ...field }, names(users).slice(0, 40).map((account) => ({ address: () => '192.0.2.1', device: () => `the device of ${account}`, accounts: [account] })))
  }
}

function names (users: Battlefield['users']): string[] {
  return users.map(({ account }) => account)
}

/** Each in its own block. */
function botnet (accounts: readonly string[]): Bot[] {
  return Array.from({ length: 1_000 }, (_, i) => ({ address: () => `10.${i >> 8}.${i & 255}.66`, accounts }))
}

function send ({ world, guess }: Battlefield, bots: readonly Bot[]): void {
  /** Knowledge shared by the bots: the second from which on an account can be tried. */
  const worthFrom = new Map<string, number>()
  for (const bot of bots) {
    let next = world.below(bot.accounts.length)
    const act = async (): Promise<void> => {
      const account = pick()
      if (account === undefined) {
        world.in(REST_SECONDS, act)
        return
      }
      const refusal = await guess({ account, address: bot.address(), ...bot.device !== undefined && { device: bot.device() } })
      if (refusal === null) {
        world.in(1, act)
      } else if (['account', 'calm', 'devices'].includes(refusal.reason)) {
        // Another account may be open.
        worthFrom.set(account, world.nowMs + refusal.waitSeconds * 1_000)
        world.in(1, act)
      } else {
        world.in(refusal.waitSeconds, act)
      }
    }
    // Not all in one second.
    world.in(world.below(60), act)

    function pick (): string | undefined {
      for (let i = 0; i < Math.min(LOOKS, bot.accounts.length); i++) {
        const account = bot.accounts[next++ % bot.accounts.length] as string
        if ((worthFrom.get(account) ?? 0) <= world.nowMs) return account
      }
    }
  }
}
