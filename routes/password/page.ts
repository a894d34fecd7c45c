import { html, type SafeHtml } from '../../plugins/view/html.js'
import { flawed, userField, usernameField, type Page } from '../../plugins/view/layout.js'

interface PasswordForm {
  base: string
  /** The link back. */
  home: string
  hasLogout: boolean
  /** The user's name. */
  name: string
  minLength: number
  /** Why the change failed, and which of the passwords is wrong. */
  error?: { text: string, of: 'current' | 'new' }
}

/** Renders the form with empty fields, even after an error: no page contains a password. */
export function passwordPage ({ base, home, hasLogout, name, minLength, error }: PasswordForm): Page {
  const flaw = (of: 'current' | 'new'): SafeHtml | '' => error?.of === of ? flawed : ''
  return ({ text, phrase }) => ({
    title: text('Change your password'),
    notice: error === undefined ? undefined : { kind: 'bad', text: error.text },
    body: html`<h1>${text('Change your password')}</h1>
<form method="post" action="${base}/password">
${userField(name)}
${usernameField(name)}
<div class="field"><label for="current">${text('Current password')}</label>
<input id="current" name="current_password" type="password" required autocomplete="current-password"${flaw('current')} autofocus></div>
<div class="field"><label for="new">${text('New password')}</label>
<input id="new" name="new_password" type="password" required minlength="${minLength}" autocomplete="new-password"${error?.of === 'new' ? html` aria-invalid="true" aria-describedby="notice rule"` : html` aria-describedby="rule"`}>
<p class="muted hint" id="rule">${phrase('At least {count} characters, such as a few words.', { count: minLength })}</p></div>
<div class="field"><label for="again">${text('New password, again')}</label>
<input id="again" name="new_password_again" type="password" required autocomplete="new-password"${flaw('new')}></div>
<button>${text('Change password')}</button>
</form>
<p class="aside muted">${text('All your other sessions end.')} <a href="${home}">${text('Cancel')}</a>${hasLogout ? html` &middot; <a href="${base}/logout">${text('Log out')}</a>` : ''}</p>`
  })
}
