import type { SessionStore } from '../sessions.js'
import type { Trait } from '../traits.js'

/**
 * Defines a test: the `test` of node:test and of vitest is one, and so is `(name, run) => t.test(name, run)` of tap. With
 * `skip`, checks that do not apply are reported as skipped, by name and reason.
 */
export interface DefineTest {
  (name: string, run: () => Promise<void>): unknown
  skip?: (name: string, run: () => Promise<void>) => unknown
}

/** The options of every contract suite. */
export interface ContractOptions {
  /**
   * Checks that the store cannot pass, by name, each with the reason. Such a store does not keep the contract: tell its
   * users what they lose.
   *
   * @default none
   */
  except?: Readonly<Record<string, string>>
}

/** Defines a check with a store and a clock of its own. */
export type Check<S> = (sentence: string, run: (store: S, clock: { time: number }) => Promise<void>, maxBytes?: number) => void

/** Defines a check that needs some optional members of the contract. */
export type CheckWith = <T extends Trait>(...traits: T[]) => Check<StoreWith<T>>

/** A store that has some optional members. */
export type StoreWith<T extends Trait> = SessionStore & Required<Pick<SessionStore, T>>

/** Defines the checks of one suite. */
export class Checks {
  readonly #test: DefineTest
  readonly #except: Readonly<Record<string, string>>
  /** The names in `except` that no check has had yet. */
  readonly #unknown: Set<string>

  constructor (test: DefineTest, { except = {} }: ContractOptions) {
    this.#test = test
    this.#except = except
    this.#unknown = new Set(Object.keys(except))
  }

  define (sentence: string, run: () => Promise<void>): void {
    const reason = this.#except[sentence]
    if (reason === undefined) this.#test(sentence, run)
    else this.skip(sentence, reason)
  }

  skip (sentence: string, reason: string): void {
    this.#unknown.delete(sentence)
    this.#test.skip?.(`${sentence} (${reason})`, async () => {})
  }

  /** @throws TypeError if `except` names an unknown check. */
  end (): void {
    if (this.#unknown.size > 0) throw new TypeError(`There is no check called ${[...this.#unknown].join(', nor ')}.`)
  }
}
