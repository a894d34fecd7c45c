import { deepEqual, ok } from 'node:assert/strict'
import type { MaybePromise } from '../../common/maybe-promise.js'
import type { SessionStore, StoreOptions } from '../sessions.js'
import { TRAITS, hasTrait, type Trait } from '../traits.js'
import { Checks, type Check, type CheckWith, type ContractOptions, type DefineTest, type StoreWith } from './checks.js'
import { coreContract } from './core.js'
import { START } from './sample-records.js'
import { limitContract } from './limit.js'
import { replaceContract } from './replace.js'
import { replaceRacesContract } from './replace-races.js'
import { successorContract } from './successor.js'
import { countContract, sweepContract } from './sweep.js'
import { takeContract } from './take.js'
import { textsContract } from './texts.js'
import { userSessionsContract } from './user-sessions.js'

/** Opens an empty store for one check, which closes it. */
export type OpenStore = (options: StoreOptions) => MaybePromise<SessionStore>

/** The options of {@link storeContract}. */
export interface StoreContractOptions extends ContractOptions {
  /**
   * The optional members of the contract that the store does not have. The checks that need one are skipped.
   *
   * @default none
   */
  lacks?: readonly Trait[]
  /**
   * False for a store that drops expired records by itself, some time after they expire. The suite then does not check when
   * a record is dropped.
   *
   * @default true, or false with `sweep` in `lacks`
   */
  sweeps?: boolean
}

/**
 * Defines a test for each sentence of the contract of {@link SessionStore}. Each has a store and a clock of its own. The
 * clock stands still, at a time that need not be today's, so a store must take the time from `options.now` alone.
 *
 * The checks use the same keys. With one database for all, run them one after another and let `open` empty it.
 *
 * @throws TypeError if `except` names an unknown check.
 * @example
 * import { storeContract } from 'hatcheck/store-contract'
 * import { test } from 'node:test'
 *
 * storeContract(test, (options) => new MyStore(options))
 */
export function storeContract (test: DefineTest, open: OpenStore, options: StoreContractOptions = {}): void {
  const { lacks = [], sweeps = !lacks.includes('sweep') } = options
  const checks = new Checks(test, options)

  const check: Check<SessionStore> = (sentence, run, maxBytes = 4_096) => {
    checks.define(sentence, async () => {
      const clock = { time: START }
      const store = await open({ now: () => clock.time, maxBytes })
      try {
        await run(store, clock)
      } finally {
        await store.close()
      }
    })
  }

  const checkWith: CheckWith = (...traits) => (sentence, run, maxBytes) => {
    const lacking = traits.filter((trait) => lacks.includes(trait))
    if (lacking.length > 0) {
      checks.skip(sentence, `the store has no ${lacking.join(' and no ')}`)
      return
    }
    check(sentence, async (store, clock) => {
      ok(hasAll(store, traits), `The store must have ${traits.join(' and ')}.`)
      await run(store, clock)
    }, maxBytes)
  }

  check('the store has every optional member of the contract, except those in lacks', async (store) => {
    deepEqual(TRAITS.filter((trait) => !hasTrait(store, trait)), TRAITS.filter((trait) => lacks.includes(trait)))
  })
  coreContract(check, sweeps)
  textsContract(check)
  replaceContract(check)
  replaceRacesContract(check)
  userSessionsContract(checkWith, sweeps)
  limitContract(checkWith)
  takeContract(checkWith)
  successorContract(checkWith)
  countContract(checkWith, sweeps)
  sweepContract(sweeps || lacks.includes('sweep') ? checkWith : () => (sentence) => { checks.skip(sentence, 'the store drops expired records by itself') })
  checks.end()
}

function hasAll<T extends Trait> (store: SessionStore, traits: readonly T[]): store is StoreWith<T> {
  return traits.every((trait) => hasTrait(store, trait))
}
