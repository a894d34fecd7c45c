import type { Answer } from '../../../test/clients/client.js'
import type { Browser, Stop } from '../browser.js'
import type { Peer } from '../peers/index.js'

/** What a request of a session can do while it waits. */
export const SLOW = {
  'a change': async (browser, stop) => await browser.set('a', 'late', stop),
  'a touch': async (browser, stop) => await browser.touch(stop),
  'a new ID': async (browser, stop) => await browser.renew(stop)
} satisfies Record<string, (browser: Browser, stop: Stop) => Promise<Answer>>

export type Slow = keyof typeof SLOW
export const SLOW_NAMES = Object.keys(SLOW) as Slow[]

export function hasStep (peer: Peer, slow: Slow): boolean {
  return slow !== 'a new ID' || peer.renews === true
}
