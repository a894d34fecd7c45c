import { POSITIONS } from '../browser.js'
import type { Case } from './case.js'

/** A request that only prolongs the session overwrites a value that was changed meanwhile. */
export const staleTouch: Case = {
  title: 'touch over a newer value',
  seen: 'overwritten',
  repeats: 2,
  tries: POSITIONS.map((at) => ({
    name: `the touch waits at "${at}"`,
    async run (stage) {
      const browser = stage.browser('Harry')
      await browser.login('Harry')
      await browser.set('a', 'old')
      const answer = await stage.during(at, (stop) => browser.touch(stop), async () => { await browser.set('a', 'new') })
      if (answer === null) return undefined
      const { a } = (await browser.read()).values
      return a === 'new' ? null : `the value is ${a ?? 'missing'}`
    }
  }))
}
