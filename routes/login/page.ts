import { LONGEST_SENT_NAME } from '../../plugins/accounts/name.js'
import { LONGEST_PASSWORD_BYTES } from '../../plugins/accounts/password.js'
import { html } from '../../plugins/view/html.js'
import { flawed, type Page, type PageParts } from '../../plugins/view/layout.js'

interface LoginForm {
  base: string
  next: string
  /** What the user typed before. */
  name?: string
  permanent?: boolean
  /** Why the login failed. */
  error?: string
  /** What the user did just before, such as a logout. */
  notice?: PageParts['notice']
}

export function loginPage ({ base, next, name = '', permanent = false, error, notice }: LoginForm): Page {
  const flaw = error === undefined ? '' : flawed
  return ({ text }) => ({
    title: text('Log in'),
    notice: error === undefined ? notice : { kind: 'bad', text: error },
    // A browser counts maxlength in UTF-16 units, and silently drops the rest of a name.
    body: html`<h1>${text('Log in')}</h1>
<form method="post" action="${base}/login">
<input type="hidden" name="next" value="${next}">
<div class="field"><label for="name">${text('Name')}</label>
<input id="name" name="client_name" value="${name}" required maxlength="${LONGEST_SENT_NAME}" autocomplete="username" autocapitalize="none" spellcheck="false"${flaw}${name === '' ? html` autofocus` : ''}></div>
<div class="field"><label for="password">${text('Password')}</label>
<input id="password" name="password" type="password" required maxlength="${LONGEST_PASSWORD_BYTES}" autocomplete="current-password"${flaw}${name === '' ? '' : html` autofocus`}></div>
<label class="check"><input type="checkbox" name="permanent" value="on"${permanent ? html` checked` : ''}>${text('Keep me signed in')}</label>
<button>${text('Log in')}</button>
</form>`
  })
}
