import { POSITIONS } from '../browser.js'
import type { Case } from './case.js'

/** Two requests of one session at once change different keys. */
export const lostUpdate: Case = {
  title: 'lost update',
  seen: 'lost',
  repeats: 2,
  tries: POSITIONS.map((at) => ({
    name: `the first request waits at "${at}"`,
    async run (stage) {
      const browser = stage.browser('Harry')
      await browser.login('Harry')
      const answer = await stage.during(at, (stop) => browser.set('a', 'first', stop), async () => { await browser.set('b', 'second') })
      if (answer === null) return undefined
      const { values } = await browser.read()
      const missing = (['a', 'b'] as const).filter((key) => values[key] === undefined)
      return missing.length === 0 ? null : `the value ${missing.join(' and ')} is lost`
    }
  }))
}
