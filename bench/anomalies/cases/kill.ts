import type { Case } from './case.js'

/** The process is killed as soon as the answer is there, and started again. */
export const kill: Case = {
  title: 'kill after the answer',
  seen: 'undone',
  repeats: 3,
  tries: [
    {
      name: 'after a login',
      async run (stage) {
        const browser = stage.browser('Harry')
        await browser.login('Harry')
        await stage.killAndRestart()
        return (await browser.read()).user === 'Harry' ? null : 'the login is gone'
      }
    },
    {
      name: 'after a change',
      async run (stage) {
        const browser = stage.browser('Harry')
        await browser.login('Harry')
        await browser.set('a', 'kept')
        await stage.killAndRestart()
        return (await browser.read()).values.a === 'kept' ? null : 'the change is gone'
      }
    },
    {
      name: 'after a logout',
      async run (stage) {
        // Without a server that remembers a logout, there is nothing that a kill can undo.
        if (stage.peer.isStateless === true) return undefined
        const browser = stage.browser('Harry')
        await browser.login('Harry')
        const old = browser.cookies
        await browser.logout()
        await stage.killAndRestart()
        return (await stage.browser('the old cookie', old).read()).user === null ? null : 'the logout is undone'
      }
    }
  ]
}
