import { POSITIONS } from '../browser.js'
import type { Stage } from '../stage.js'
import type { Case } from './case.js'
import { SLOW, SLOW_NAMES, hasStep } from './slow.js'

/** All sessions of a user end while one of them is renewed or has just begun. */
export const revokeAll: Case = {
  title: 'end of all sessions',
  seen: 'revived',
  repeats: 2,
  tries: [
    ...SLOW_NAMES.flatMap((slow) => POSITIONS.map((at) => ({
      name: `${slow} waits at "${at}" during the end of all sessions`,
      async run (stage: Stage) {
        if (!hasStep(stage.peer, slow)) return undefined
        const [browser, other] = [stage.browser('Harry'), stage.browser('the other browser of Harry')]
        await browser.login('Harry')
        await other.login('Harry')
        const old = browser.cookies
        const answer = await stage.during(at, (stop) => SLOW[slow](browser, stop), async () => { await other.revokeAll() })
        return answer === null ? undefined : await judge(stage, browser.cookies, old)
      }
    }))),
    {
      name: 'a login that is stored waits for its answer during the end of all sessions',
      async run (stage) {
        const [browser, other] = [stage.browser('Harry'), stage.browser('the other browser of Harry')]
        await other.login('Harry')
        const answer = await stage.during('end', (stop) => browser.login('Harry', stop), async () => { await other.revokeAll() })
        return answer === null ? undefined : await judge(stage, browser.cookies)
      }
    },
    ...POSITIONS.map((at) => ({
      name: `a login waits at "${at}" during another login, and both end before all sessions do`,
      async run (stage: Stage) {
        const [browser, second, other] = [stage.browser('Harry'), stage.browser('the second browser of Harry'), stage.browser('the other browser of Harry')]
        await other.login('Harry')
        const answer = await stage.during(at, (stop) => browser.login('Harry', stop), async () => { await second.login('Harry') })
        if (answer === null) return undefined
        await other.revokeAll()
        return await judge(stage, browser.cookies, second.cookies)
      }
    }))
  ]
}

async function judge (stage: Stage, ...all: ReadonlyArray<Map<string, string>>): Promise<string | null> {
  for (const cookies of all) {
    if ((await stage.browser('the ended session', cookies).read()).user !== null) return 'the ended session is logged in'
  }
  return null
}
