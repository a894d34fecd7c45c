import { POSITIONS, type Browser } from '../browser.js'
import type { Stage } from '../stage.js'
import type { Case } from './case.js'

/** The cookie from before a login is logged in after it, so an attacker who planted it has the session. */
export const fixation: Case = {
  title: 'session fixation',
  seen: 'fixed',
  repeats: 2,
  tries: [
    {
      name: 'a login',
      async run (stage) {
        const { browser, planted } = await visitor(stage)
        await browser.login('Harry')
        return await judge(stage, planted)
      }
    },
    ...POSITIONS.map((at) => ({
      name: `the login waits at "${at}" while the attacker changes the session`,
      async run (stage: Stage) {
        const { browser, planted } = await visitor(stage)
        const answer = await stage.during(at, (stop) => browser.login('Harry', stop), async () => { await stage.browser('the attacker', planted).set('b', 'planted') })
        return answer === null ? undefined : await judge(stage, planted)
      }
    })),
    ...POSITIONS.map((at) => ({
      name: `a change by the attacker waits at "${at}" during the login`,
      async run (stage: Stage) {
        const { browser, planted } = await visitor(stage)
        const answer = await stage.during(at, (stop) => stage.browser('the attacker', planted).set('b', 'planted', stop), async () => { await browser.login('Harry') })
        return answer === null ? undefined : await judge(stage, planted)
      }
    }))
  ]
}

/** Returns a visitor, and the cookies of the session that an attacker has planted. */
async function visitor (stage: Stage): Promise<{ browser: Browser, planted: Map<string, string> }> {
  const browser = stage.browser('Harry')
  await browser.set('a', 'visitor')
  return { browser, planted: browser.cookies }
}

async function judge (stage: Stage, planted: Map<string, string>): Promise<string | null> {
  const { user } = await stage.browser('the attacker', planted).read()
  return user === null ? null : `the cookie from before the login is ${user}`
}
