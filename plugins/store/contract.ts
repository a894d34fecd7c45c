/** The suites that prove a store of your own: `hatcheck/store-contract`. */
export { accountContract, type OpenAccounts } from './contract/accounts.js'
export { attemptContract, type OpenAttempts } from './contract/attempts.js'
export type { ContractOptions, DefineTest } from './contract/checks.js'
export { changesOf, recordOf, replacementOf } from './contract/fixtures.js'
export { storeContract, type OpenStore, type StoreContractOptions } from './contract/sessions.js'
