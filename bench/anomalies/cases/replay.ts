import type { Case } from './case.js'

/** An attacker presents a copy of the cookie after the logout. */
export const replay: Case = {
  title: 'copied cookie',
  seen: 'live',
  repeats: 2,
  tries: [
    {
      name: 'a copy from before the logout',
      async run (stage) {
        const browser = stage.browser('Harry')
        await browser.login('Harry')
        await browser.set('a', 'kept')
        const copy = browser.cookies
        await browser.logout()
        return (await stage.browser('the copy', copy).read()).user === null ? null : 'the copy is logged in'
      }
    }
  ]
}
