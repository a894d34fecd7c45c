import type { Answer } from '../../../test/clients/client.js'
import { POSITIONS, setsCookie, type Browser, type Position } from '../browser.js'
import type { Stage } from '../stage.js'
import type { Case, Try } from './case.js'
import { SLOW, SLOW_NAMES, hasStep, type Slow } from './slow.js'

/** A request that began before the logout ends after it, and the session lives again. */
export const revival: Case = {
  title: 'revival',
  seen: 'revived',
  repeats: 2,
  tries: triesOf(async ({ stage, browser, old, wasDead }) => {
    if ((await browser.read()).user !== null) return 'the browser is logged in again'
    if (wasDead && (await stage.browser('the old cookie', old).read()).user !== null) return 'the old cookie is logged in again'
    return null
  })
}

/** The answer of such a request gives the browser a cookie again. */
export const lateCookie: Case = {
  title: 'cookie after the logout',
  seen: 'set',
  repeats: 2,
  tries: triesOf(async ({ answer }) => setsCookie(answer) ? 'the answer sets a session cookie' : null)
}

interface After {
  stage: Stage
  browser: Browser
  /** The cookies from before the logout. */
  old: Map<string, string>
  /** Whether they were dead after the logout. */
  wasDead: boolean
  /** The answer of the slow request. */
  answer: Answer
}

function triesOf (judge: (after: After) => Promise<string | null>): Try[] {
  return SLOW_NAMES.flatMap((slow) => POSITIONS.map((at) => ({
    name: `${slow} waits at "${at}" during the logout`,
    run: async (stage: Stage) => await logOutDuring(stage, at, slow, judge)
  })))
}

async function logOutDuring (stage: Stage, at: Position, slow: Slow, judge: (after: After) => Promise<string | null>): Promise<string | null | undefined> {
  if (!hasStep(stage.peer, slow)) return undefined
  const browser = stage.browser('Harry')
  await browser.login('Harry')
  const old = browser.cookies
  let wasDead = false
  const answer = await stage.during(at, (stop) => SLOW[slow](browser, stop), async () => {
    const { statusCode } = await browser.logout()
    if (statusCode >= 400) throw new Error(`the logout was answered with ${statusCode}`)
    wasDead = (await stage.browser('the old cookie', old).read()).user === null
  })
  return answer === null ? undefined : await judge({ stage, browser, old, wasDead, answer })
}
