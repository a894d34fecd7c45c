import { html } from 'ghtml'
import type { Page } from '../../plugins/view/layout.js'

export interface LoginForm {
  prefix: string
  next: string
  /** What was typed before. */
  name?: string
  permanent?: boolean
  /** Why it did not work. */
  error?: string
  /** What went well before. */
  notice?: string | undefined
}

export function loginPage ({ prefix, next, name = '', permanent = false, error, notice }: LoginForm): Page {
  const flawed = error === undefined ? '' : ' aria-invalid="true"'
  return {
    title: 'Log in',
    notice: error === undefined ? notice === undefined ? undefined : { kind: 'good', text: notice } : { kind: 'bad', text: error },
    body: html`<h1>Log in</h1>
<form method="post" action="${prefix}/login">
<input type="hidden" name="next" value="${next}">
<div class="field"><label for="name">Name</label>
<input id="name" name="client_name" value="${name}" required maxlength="64" autocomplete="username" autocapitalize="none" spellcheck="false"!${flawed}!${name === '' ? ' autofocus' : ''}></div>
<div class="field"><label for="password">Password</label>
<input id="password" name="password" type="password" required maxlength="1024" autocomplete="current-password"!${flawed}!${name === '' ? '' : ' autofocus'}></div>
<label class="check"><input type="checkbox" name="permanent" value="on"!${permanent ? ' checked' : ''}>Keep me signed in</label>
<button>Log in</button>
</form>`
  }
}
