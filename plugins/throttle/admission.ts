import { networksOf, type Networks } from '../common/network.js'
import { policies, type Policy } from '../store/attempt-policy.js'
import type { AttemptStore } from '../store/attempts.js'

/** The origin of a login attempt. */
interface Applicant {
  /** The key of the account, whether the account exists or not. */
  account: string
  /** The known device of this account that the attempt comes from, or null. */
  device: string | null
  /** The address that the attempt comes from; empty without an address. */
  address: string
}

export interface Refusal {
  /** The counter that refuses the attempt. */
  reason: Kind
  waitMs: number
}

/** An attempt that need not wait, by one of the ways in docs/admission.md. */
export interface Attempt {
  /** Attempts with the same queue key must be checked one after another. */
  readonly queueKey: string
  /** Whether the attempt comes from a known device or network; these have places of their own in the queue. */
  readonly isFamiliar: boolean
  /** Counts the attempt before it is checked. Refuses it and counts nothing if others have failed in the meantime. */
  admit (): Promise<Refusal | null>
  /** Records that the password was wrong. */
  failed (): Promise<void>
  /** Records that the password was right. */
  succeeded (): Promise<void>
  /** Takes the attempt back: the password could not be checked. */
  withdrawn (): Promise<void>
}

export type Kind = keyof typeof policies

interface CounterOf {
  kind: Kind
  key: string
  policy: Policy
}

interface AdmissionOptions {
  attempts: AttemptStore
  /** The source of time, in ms since the epoch. */
  now: () => number
  /** Hashes the keys of counters: a user may have typed a password in place of the name. */
  hash: (text: string) => string
}

/** Tells a refusal from an attempt. */
export function isRefusal (decision: Attempt | Refusal): decision is Refusal {
  return 'waitMs' in decision
}

/** Decides which login attempts are checked. Independent of HTTP and of queues. */
export class Admission {
  readonly #options: AdmissionOptions

  constructor (options: AdmissionOptions) {
    this.#options = options
  }

  /**
   * Finds the first way in which an attempt need not wait: as that of a known device, of a known network, or of a stranger.
   * Without one, returns the refusal with the shortest wait. Counts nothing.
   */
  async attemptOf ({ account, device, address }: Applicant): Promise<Attempt | Refusal> {
    const networks = networksOf(address)
    const { network } = networks
    const known = this.#knownBy(account, network)
    const refusals: Refusal[] = []
    if (device !== null) {
      const own = this.#counter('device', device)
      const attempt = await this.#familiar(own, this.#counter('devices', account), {
        failed: async () => {},
        succeeded: async () => {
          await this.#options.attempts.forget(own.key)
          await this.#remember(known)
        }
      })
      if (!isRefusal(attempt)) return attempt
      refusals.push(attempt)
    }
    const [knownPlace] = known
    // A place is known for as long as this counter makes attempts wait.
    if (knownPlace !== undefined && await this.#waitOf(knownPlace) > 0) {
      const attempt = await this.#familiar(this.#counter('place', this.#at(account, network)), this.#counter('places', account), {
        failed: () => this.#countFailure(networks),
        succeeded: () => this.#remember(known)
      })
      if (!isRefusal(attempt)) return attempt
      refusals.push(attempt)
    }
    const attempt = await this.#stranger(account, networks, known)
    if (!isRefusal(attempt)) return attempt
    return refusals.reduce((shortest, refusal) => refusal.waitMs < shortest.waitMs ? refusal : shortest, attempt)
  }

  /** Counts a sign-up, accepted or refused, for the network that it comes from. */
  async countSignup (address: string): Promise<void> {
    await this.#count(this.#around(networksOf(address)))
  }

  /**
   * Makes an attempt from a known device or network, or refuses it.
   *
   * @param own the counter of the device or the network
   * @param ofAccount the counter of all such attempts for the account
   */
  async #familiar (own: CounterOf, ofAccount: CounterOf, { failed, succeeded }: Pick<Attempt, 'failed' | 'succeeded'>): Promise<Attempt | Refusal> {
    const counters = [own, ofAccount]
    const refusal = await this.#firstRefusal(counters)
    if (refusal !== null) return refusal
    const takeBack = (): Promise<void> => this.#uncount(counters)
    return {
      // Of the account and not of the device: otherwise a user could fill all places of known devices with a few of them.
      queueKey: ofAccount.key,
      isFamiliar: true,
      admit: () => this.#admitBy(counters),
      failed,
      async succeeded () {
        await takeBack()
        await succeeded()
      },
      withdrawn: takeBack
    }
  }

  /**
   * Makes an attempt of a stranger, or refuses it. Once strangers must wait for the account, those from calm networks have another
   * counter: the others cannot keep them out.
   */
  async #stranger (account: string, networks: Networks, known: CounterOf[]): Promise<Attempt | Refusal> {
    const [byAll, byCalm] = [this.#counter('account', account), this.#counter('calm', account)]
    const refusal = await this.#sharedRefusal(networks) ?? await this.#refusalOf(byAll)
    const isByCalm = refusal?.reason === 'account' && await this.#isCalm(networks)
    const finalRefusal = isByCalm ? await this.#refusalOf(byCalm) : refusal
    if (finalRefusal !== null) return finalRefusal
    /** The counter that has counted the attempt, once it is admitted. */
    let own = byAll
    const withdrawn = (): Promise<void> => this.#uncount([own])
    return {
      queueKey: byAll.key,
      isFamiliar: false,
      admit: async () => {
        const refusal = await this.#sharedRefusal(networks) ?? await this.#admitBy([byAll])
        if (refusal?.reason !== 'account' || !await this.#isCalm(networks)) return refusal
        own = byCalm
        return await this.#admitBy([own])
      },
      failed: () => this.#countFailure(networks),
      succeeded: async () => {
        await withdrawn()
        await this.#remember(known)
      },
      withdrawn
    }
  }

  /** Returns why a stranger must wait for any account. */
  async #sharedRefusal (networks: Networks): Promise<Refusal | null> {
    const refusal = await this.#firstRefusal(this.#around(networks)) ?? await this.#refusalOf(this.#counter('global'))
    return refusal?.reason === 'global' && await this.#isKnownOrCalm(networks) ? null : refusal
  }

  async #countFailure (networks: Networks): Promise<void> {
    await this.#count([...this.#around(networks), ...this.#unrest(networks), this.#counter('global')])
  }

  /** Returns the counters of the networks around an address that make attempts wait. */
  #around ({ network, site, block }: Networks): CounterOf[] {
    const address = this.#counter('address', network)
    return site === null ? [address] : [address, this.#counter('site', site), this.#counter('block', block)]
  }

  /** Returns the counters of failures that decide whether a network is calm. */
  #unrest ({ network, block }: Networks): CounterOf[] {
    return [this.#counter('unrest', network), this.#counter('unrestAround', block)]
  }

  async #isCalm (networks: Networks): Promise<boolean> {
    return await this.#firstRefusal(this.#unrest(networks)) === null
  }

  async #isKnownOrCalm (networks: Networks): Promise<boolean> {
    return await this.#waitOf(this.#counter('knownNetwork', networks.network)) > 0 || await this.#isCalm(networks)
  }

  /** Returns the counters that remember a login of the account from the network; none without an address. */
  #knownBy (account: string, network: string): CounterOf[] {
    return network === '' ? [] : [this.#counter('knownPlace', this.#at(account, network)), this.#counter('knownNetwork', network)]
  }

  /** Renews the memory of a login once half its time is over, so that few logins write it. */
  async #remember (known: readonly CounterOf[]): Promise<void> {
    const { attempts, now } = this.#options
    await Promise.all(known.map(async (counter) => {
      const { key, policy } = counter
      if (await this.#waitOf(counter) > policy.longestMs / 2) return
      await attempts.forget(key)
      await attempts.count(key, policy, now())
    }))
  }

  async #admitBy (counters: readonly CounterOf[]): Promise<Refusal | null> {
    const { attempts, now } = this.#options
    const answers = await Promise.allSettled(counters.map(async ({ key, policy }) => await attempts.admit(key, policy, now())))
    const waits = answers.map((answer) => answer.status === 'fulfilled' ? answer.value : Infinity)
    const refused = waits.findIndex((waitMs) => waitMs > 0)
    if (refused === -1) return null
    await this.#uncount(counters.filter((_, i) => waits[i] === 0))
    const failed = answers.find((answer) => answer.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return { reason: (counters[refused] as CounterOf).kind, waitMs: waits[refused] as number }
  }

  async #firstRefusal (counters: readonly CounterOf[]): Promise<Refusal | null> {
    const refusals = await Promise.all(counters.map((counter) => this.#refusalOf(counter)))
    return refusals.find((refusal) => refusal !== null) ?? null
  }

  async #refusalOf (counter: CounterOf): Promise<Refusal | null> {
    const waitMs = await this.#waitOf(counter)
    return waitMs > 0 ? { reason: counter.kind, waitMs } : null
  }

  async #waitOf ({ key, policy }: CounterOf): Promise<number> {
    const { attempts, now } = this.#options
    return await attempts.waitOf(key, policy, now())
  }

  async #count (counters: readonly CounterOf[]): Promise<void> {
    const { attempts, now } = this.#options
    await Promise.all(counters.map(({ key, policy }) => attempts.count(key, policy, now())))
  }

  async #uncount (counters: readonly CounterOf[]): Promise<void> {
    await Promise.all(counters.map(({ key, policy }) => this.#options.attempts.uncount(key, policy)))
  }

  /** Joins an account and a network. No account key contains a line break. */
  #at (account: string, network: string): string {
    return `${account}\n${network}`
  }

  #counter (kind: Kind, whose = ''): CounterOf {
    return { kind, key: `${kind}:${this.#options.hash(whose)}`, policy: policies[kind] }
  }
}
