import { networksOf, type Networks } from '../common/network.js'
import { policies, type Policy } from '../store/attempt-policy.js'
import type { AttemptStore } from '../store/attempts.js'

/** Who tries a password. */
export interface Applicant {
  /** The key of the account, whether there is such an account or not. */
  account: string
  /** The known device of this account that the try comes from, or null. */
  device: string | null
  /** The address that the try comes from; empty if there is none. */
  address: string
}

export interface Refusal {
  /** What was counted. */
  reason: Kind
  waitMs: number
}

/** A try that need not wait, in one of the ways of docs/admission.md. */
export interface Attempt {
  /** Tries with the same line are checked one after another. */
  readonly line: string
  /** Whether it comes from a known device or network, which have places of their own in the queue. */
  readonly isFamiliar: boolean
  /** Counts it beforehand, or refuses it after all and counts nothing: others may have failed since. */
  admit (): Promise<Refusal | null>
  /** The password was wrong. */
  failed (): Promise<void>
  /** The password was right. */
  succeeded (): Promise<void>
  /** It is unknown whether the password was right: the try counts for nothing. */
  withdrawn (): Promise<void>
}

export type Kind = keyof typeof policies

interface CounterOf {
  kind: Kind
  key: string
  policy: Policy
}

export interface AdmissionOptions {
  attempts: AttemptStore
  /** The source of time, in ms since the epoch. */
  now: () => number
  /** The store gets a hash: a name that somebody mistyped may be a password. */
  hash: (text: string) => string
}

export function isRefusal (decided: Attempt | Refusal): decided is Refusal {
  return 'waitMs' in decided
}

/** Decides which passwords are looked at. Knows nothing of HTTP and of queues. */
export class Admission {
  readonly #options: AdmissionOptions

  constructor (options: AdmissionOptions) {
    this.#options = options
  }

  /**
   * The first way in which a try need not wait: as that of a known device, of a known network, or of a stranger. If there is
   * none, the refusal with the shortest wait. Counts nothing.
   */
  async attemptOf ({ account, device, address }: Applicant): Promise<Attempt | Refusal> {
    const networks = networksOf(address)
    const { network } = networks
    const known = this.#knownBy(account, network)
    const refusals: Refusal[] = []
    if (device !== null) {
      const own = this.#counter('device', device)
      const counters = [own, this.#counter('devices', account)]
      const refusal = await this.#firstRefusal(counters)
      if (refusal === null) {
        return this.#familiar(counters, {
          failed: async () => {},
          succeeded: async () => {
            await this.#options.attempts.forget(own.key)
            await this.#remember(known)
          }
        })
      }
      refusals.push(refusal)
    }
    const [place] = known
    if (place !== undefined && await this.#waitOf(place) > 0) {
      const counters = [this.#counter('place', this.#at(account, network)), this.#counter('places', account)]
      const refusal = await this.#firstRefusal(counters)
      if (refusal === null) {
        return this.#familiar(counters, { failed: () => this.#countFailure(networks), succeeded: () => this.#remember(known) })
      }
      refusals.push(refusal)
    }
    const stranger = await this.#stranger(account, networks, known)
    if (!isRefusal(stranger)) return stranger
    return refusals.reduce((shortest, refusal) => refusal.waitMs < shortest.waitMs ? refusal : shortest, stranger)
  }

  /** Counts a new account, or a try to make one, for the network it comes from. */
  async countSignup (address: string): Promise<void> {
    await this.#count(this.#around(networksOf(address)))
  }

  #familiar (counters: readonly CounterOf[], { failed, succeeded }: Pick<Attempt, 'failed' | 'succeeded'>): Attempt {
    const [own, ofAccount] = counters as [CounterOf, CounterOf]
    const takeBack = (): Promise<void> => this.#uncount([own, ofAccount])
    return {
      line: own.key,
      isFamiliar: true,
      admit: () => this.#admitBy([own, ofAccount]),
      failed,
      async succeeded () {
        await takeBack()
        await succeeded()
      },
      withdrawn: takeBack
    }
  }

  async #stranger (account: string, networks: Networks, known: CounterOf[]): Promise<Attempt | Refusal> {
    const [byAll, byCalm] = [this.#counter('account', account), this.#counter('calm', account)]
    const refusal = await this.#sharedRefusal(networks) ?? await this.#refusalOf(byAll)
    const isCalmOne = refusal?.reason === 'account' && await this.#isCalm(networks)
    const last = isCalmOne ? await this.#refusalOf(byCalm) : refusal
    if (last !== null) return last
    /** By which of the two it is counted, once it is admitted. */
    let own = byAll
    const withdrawn = (): Promise<void> => this.#uncount([own])
    return {
      line: byAll.key,
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

  /** Why a stranger has to wait, whatever the account. */
  async #sharedRefusal (networks: Networks): Promise<Refusal | null> {
    const refusal = await this.#firstRefusal(this.#around(networks)) ?? await this.#refusalOf(this.#counter('global'))
    return refusal?.reason === 'global' && await this.#isKnownOrCalm(networks) ? null : refusal
  }

  async #countFailure (networks: Networks): Promise<void> {
    await this.#count([...this.#around(networks), ...this.#unrest(networks), this.#counter('global')])
  }

  /** The counters of the networks that somebody is in, by which they wait. */
  #around ({ network, site, block }: Networks): CounterOf[] {
    const address = this.#counter('address', network)
    return site === null ? [address] : [address, this.#counter('site', site), this.#counter('block', block)]
  }

  #unrest ({ network, block }: Networks): CounterOf[] {
    return [this.#counter('unrest', network), this.#counter('unrestAround', block)]
  }

  async #isCalm (networks: Networks): Promise<boolean> {
    return await this.#firstRefusal(this.#unrest(networks)) === null
  }

  async #isKnownOrCalm (networks: Networks): Promise<boolean> {
    const { network } = networks
    return (network !== '' && await this.#waitOf(this.#counter('knownNetwork', network)) > 0) || await this.#isCalm(networks)
  }

  /** The memory that an account has logged in from a network. Without an address nothing is remembered. */
  #knownBy (account: string, network: string): CounterOf[] {
    return network === '' ? [] : [this.#counter('knownPlace', this.#at(account, network)), this.#counter('knownNetwork', network)]
  }

  /** Renewed at half its time, so that a login seldom writes it. */
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
    const waits = await Promise.all(counters.map(({ key, policy }) => attempts.admit(key, policy, now())))
    const refused = waits.findIndex((waitMs) => waitMs > 0)
    if (refused === -1) return null
    await this.#uncount(counters.filter((_, i) => waits[i] === 0))
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

  /** An account at a network. No key of an account has a control character. */
  #at (account: string, network: string): string {
    return `${account}\n${network}`
  }

  #counter (kind: Kind, whose = ''): CounterOf {
    return { kind, key: `${kind}:${this.#options.hash(whose)}`, policy: policies[kind] }
  }
}
