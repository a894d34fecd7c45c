import { LONGEST_PASSWORD_BYTES } from '../../plugins/accounts/password.js'
import { html } from '../../plugins/view/html.js'
import { flawed, userField, usernameField, type Page } from '../../plugins/view/layout.js'

interface ReauthenticationForm {
  base: string
  /** The user's name. */
  name: string
  /** The session to end; null for all other sessions. */
  handle: string | null
  /** Why the last attempt failed. */
  error: string | undefined
}

/** Asks for the password before a session ends. */
export function reauthenticationPage ({ base, name: user, handle, error }: ReauthenticationForm): Page {
  const [name, value] = handle === null ? ['others', '1'] : ['handle', handle]
  return ({ text }) => ({
    title: text('Your password'),
    notice: error === undefined ? undefined : { kind: 'bad', text: error },
    body: html`<h1>${text('Is it you?')}</h1>
<p>${text('You logged in more than 10 minutes ago, so please type your password once more.')}</p>
<form method="post" action="${base}/sessions">
${userField(user)}
${usernameField(user)}
<input type="hidden" name="${name}" value="${value}">
<div class="field"><label for="password">${text('Password')}</label>
<input id="password" name="password" type="password" required maxlength="${LONGEST_PASSWORD_BYTES}" autocomplete="current-password" autofocus${error === undefined ? '' : flawed}></div>
<button>${handle === null ? text('End all other sessions') : text('End this session')}</button>
</form>
<p class="aside"><a href="${base}/sessions">${text('Back to my sessions')}</a></p>`
  })
}
