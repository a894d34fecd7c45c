import { POSITIONS } from '../browser.js'
import type { Stage } from '../stage.js'
import type { Case } from './case.js'

/** Two users in one browser at once: neither gets the session or the values of the other. */
export const twoUsers: Case = {
  title: 'two users in one browser',
  seen: 'mixed up',
  repeats: 2,
  tries: [
    ...POSITIONS.map((at) => ({
      name: `the login of Harry waits at "${at}" during the login of Sally`,
      async run (stage: Stage) {
        const browser = stage.browser('the browser')
        await browser.set('a', 'visitor')
        const before = browser.cookies
        let ofSally = before
        const answer = await stage.during(at, (stop) => browser.login('Harry', stop, 'Harry'), async () => {
          await browser.login('Sally', undefined, 'Sally')
          ofSally = browser.cookies
        })
        if (answer === null) return undefined
        for (const [name, cookies] of [['the browser', browser.cookies], ['the cookie of Sally', ofSally], ['the cookie from before', before]] as const) {
          const { user, values: { owner } } = await stage.browser(name, cookies).read()
          if (user !== null && owner !== undefined && owner !== user) return `${name} is ${user} with a value of ${owner}`
        }
        return null
      }
    })),
    ...POSITIONS.map((at) => ({
      name: `a change by Harry waits at "${at}" during the login of Sally`,
      async run (stage: Stage) {
        const browser = stage.browser('the browser')
        await browser.login('Harry')
        const answer = await stage.during(at, (stop) => browser.set('owner', 'Harry', stop), async () => { await browser.login('Sally') })
        if (answer === null) return undefined
        const { user, values: { owner } } = await browser.read()
        if (user === 'Harry') return 'after the login of Sally the browser is Harry again'
        return user === 'Sally' && owner === 'Harry' ? 'Sally has a value of Harry' : null
      }
    }))
  ]
}
