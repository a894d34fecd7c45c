import type { Answer } from '../../../test/clients/client.js'
import { gate } from '../../../test/helper.js'
import { until } from '../../../test/time/loop-clock.js'
import type { Browser } from '../browser.js'
import type { Stage } from '../stage.js'
import type { Case } from './case.js'

/** A peer that waits for its store gets it back after this time. */
const PATIENCE_MS = 3_000

/** The store is down during a logout: a success must be one. */
export const storeDown: Case = {
  title: 'store down at the logout',
  seen: 'lives on',
  repeats: 2,
  tries: [
    {
      name: 'the store is down before the logout',
      async run (stage) {
        const { browser, old } = await loggedIn(stage)
        await stage.store.stop()
        return await judge(stage, old, browser.logout())
      }
    },
    {
      name: 'the store goes down when the logout has read the session',
      async run (stage) {
        const { browser, old } = await loggedIn(stage)
        const isDown = gate()
        const logout = stage.during('begin', (stop) => browser.logout(stop), async () => {
          await stage.store.stop()
          isDown.open()
        })
        // A logout that never waits leaves the store up.
        await Promise.race([isDown.passed, logout])
        return await judge(stage, old, logout)
      }
    }
  ]
}

async function loggedIn (stage: Stage): Promise<{ browser: Browser, old: Map<string, string> }> {
  const browser = stage.browser('Harry')
  await browser.login('Harry')
  return { browser, old: browser.cookies }
}

async function judge (stage: Stage, old: Map<string, string>, logout: Promise<Answer | null>): Promise<string | null> {
  await Promise.race([logout, new Promise((resolve) => { setTimeout(resolve, PATIENCE_MS) })])
  await stage.store.start()
  const statusCode = (await logout)?.statusCode ?? 0
  // The store answers again when a new login can be read.
  await until('the peer reaches its store', async () => {
    const browser = stage.browser('a new visitor')
    await browser.login('Sally')
    return await browser.read().then(({ user }) => user === 'Sally', () => false)
  })
  const { user } = await stage.browser('the old cookie', old).read()
  return user !== null && statusCode < 400 ? `the logout was answered with ${statusCode}, and the session lives` : null
}
