import { html, type SafeHtml } from '../plugins/view/html.js'
import { english } from '../plugins/view/language.js'
import { createLayout } from '../plugins/view/layout.js'
import { createStyle } from '../plugins/view/style.js'

const layout = createLayout({ style: createStyle(undefined), isDemo: false })

const anonymous = html`<h1>You are not logged in</h1><p><a class="button" href="${''}/login">Log in your account here</a></p>`

const known = (name: string): SafeHtml => html`<h1>${name} Your account is logged in.</h1>
<form method="post" action="${''}/logout"><button class="quiet">Log out your account here</button></form>
<p class="aside"><a href="${''}/sessions">My sessions</a></p>`

/**
 * Renders the page of routes/home.ts for the other contenders. The wording is a copy; check.ts asserts that every contender
 * sends the same bytes.
 */
export function homePage (name: string | undefined): string {
  return layout({ title: name ?? 'Not logged in', body: name === undefined ? anonymous : known(name) }, english)
}
