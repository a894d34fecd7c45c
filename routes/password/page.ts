import { html } from 'ghtml'
import type { Page } from '../../plugins/view/layout.js'

export interface PasswordForm {
  prefix: string
  /** Where it leads back to. */
  home: string
  hasLogout: boolean
  /** Whose password it is. */
  name: string
  minLength: number
  /** Why it did not work, and which of the passwords is to blame. */
  error?: { text: string, of: 'current' | 'new' }
}

/** Every field is empty, also after an error: no page has a password in it. */
export function passwordPage ({ prefix, home, hasLogout, name, minLength, error }: PasswordForm): Page {
  const flaw = (of: 'current' | 'new'): string => error?.of === of ? ' aria-invalid="true"' : ''
  return {
    title: 'Change your password',
    notice: error === undefined ? undefined : { kind: 'bad', text: error.text },
    // The name is for password managers, which then know whose password it is.
    body: html`<h1>Change your password</h1>
<form method="post" action="${prefix}/password">
<input name="client_name" value="${name}" autocomplete="username" readonly hidden>
<div class="field"><label for="current">Current password</label>
<input id="current" name="current_password" type="password" required autocomplete="current-password"!${flaw('current')} autofocus></div>
<div class="field"><label for="new">New password</label>
<input id="new" name="new_password" type="password" required minlength="${minLength}" autocomplete="new-password" aria-describedby="rule"!${flaw('new')}>
<p class="muted hint" id="rule">At least ${minLength} characters, such as a few words.</p></div>
<div class="field"><label for="again">New password, again</label>
<input id="again" name="new_password_again" type="password" required autocomplete="new-password"!${flaw('new')}></div>
<button>Change password</button>
</form>
<p class="aside muted">All your other sessions end. <a href="${home}">Cancel</a>!${hasLogout ? html` &middot; <a href="${prefix}/logout">Log out</a>` : ''}</p>`
  }
}
