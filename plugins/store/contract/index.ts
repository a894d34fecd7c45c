/** The suites that prove a store of your own: `hatcheck/store-contract`. */
export { accountContract, type OpenAccounts } from './accounts.js'
export { attemptContract, type OpenAttempts } from './attempts.js'
export type { ContractOptions, DefineTest } from './checks.js'
export { changesOf, recordOf, replacementOf } from './fixtures.js'
export { storeContract, type OpenStore, type StoreContractOptions } from './sessions.js'
