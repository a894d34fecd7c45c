import { RevocationOffError } from '../store/errors.js'

/**
 * Ends sessions because their account changes. If hatcheck does not remember which sessions have ended, none can be ended: the log
 * says so at the start.
 *
 * @returns how many have ended.
 */
export async function endIfRemembered (end: () => Promise<number>): Promise<number> {
  try {
    return await end()
  } catch (error) {
    if (error instanceof RevocationOffError) return 0
    throw error
  }
}
