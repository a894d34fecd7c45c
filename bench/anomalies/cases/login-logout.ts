import { POSITIONS, type Browser } from '../browser.js'
import type { Stage } from '../stage.js'
import type { Case } from './case.js'

/** A login and a logout of one session at once: afterwards the session that was logged out must not live. */
export const loginLogout: Case = {
  title: 'login beside logout',
  seen: 'revived',
  repeats: 2,
  tries: [
    ...POSITIONS.map((at) => ({
      name: `the login of Sally waits at "${at}" during the logout of Harry`,
      async run (stage: Stage) {
        const browser = stage.browser('the browser')
        await browser.login('Harry')
        const old = browser.cookies
        const answer = await stage.during(at, (stop) => browser.login('Sally', stop), async () => { await browser.logout() })
        return answer === null ? undefined : await judge(stage, browser, old)
      }
    })),
    ...POSITIONS.map((at) => ({
      name: `the logout of Harry waits at "${at}" during the login of Sally`,
      async run (stage: Stage) {
        const browser = stage.browser('the browser')
        await browser.login('Harry')
        const old = browser.cookies
        const answer = await stage.during(at, (stop) => browser.logout(stop), async () => { await browser.login('Sally') })
        return answer === null ? undefined : await judge(stage, browser, old)
      }
    }))
  ]
}

async function judge (stage: Stage, browser: Browser, old: Map<string, string>): Promise<string | null> {
  if ((await browser.read()).user === 'Harry') return 'the browser is Harry again'
  // A copy of a cookie that no server remembers is the case "copied cookie".
  if (stage.peer.isStateless !== true && (await stage.browser('the old cookie', old).read()).user !== null) return 'the old cookie is logged in'
  return null
}
