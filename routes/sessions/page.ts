import { touchEvery, type Lifetime, type Lifetimes } from '../../plugins/common/clock.js'
import type { UserSession } from '../../plugins/session/user-sessions.js'
import { html, type SafeHtml } from '../../plugins/view/html.js'
import type { Page } from '../../plugins/view/layout.js'
import { ago, date, iso, span } from './time.js'

export type ListedSession = UserSession & {
  /** Whether this is the session of the request. */
  current: boolean
}

export interface SessionsPage {
  prefix: string
  /** The link back. */
  home: string
  hasLogout: boolean
  sessions: readonly ListedSession[]
  /** How many sessions the user has. The list may be shorter. */
  total: number
  /** The current time, in ms. */
  now: number
  lifetimes: Lifetimes
  notice: string | undefined
}

export function sessionsPage ({ prefix, home, hasLogout, sessions, total, now, lifetimes, notice }: SessionsPage): Page {
  const isAlone = sessions.every(({ current }) => current)
  const delayOf = (lifetime: Lifetime): string => span(touchEvery(lifetime), Math.ceil)
  return {
    title: 'My sessions',
    notice: notice === undefined ? undefined : { kind: 'good', text: notice },
    // One form for all sessions: each button names what it ends.
    body: html`<h1>My sessions</h1>
<form method="post" action="${prefix}/sessions">
<ul class="sessions" role="list">${sessions.map((session) => item(session, hasLogout ? `${prefix}/logout` : null, now))}</ul>
${isAlone ? '' : html`<button name="others" value="1">End all other sessions</button>`}
</form>
${sessions.length === total ? '' : html`<p class="muted">These are ${sessions.length} of your ${total} sessions, those in use last.</p>`}
${isAlone ? '' : html`<p class="muted">Activity is noted now and then: "last seen" may be up to ${delayOf(lifetimes.browser)} behind, and ${delayOf(lifetimes.permanent)} where you stay signed in.</p>`}
<p class="aside"><a href="${home}">Back to the start</a></p>`
  }
}

function item ({ handle, client, address, createdAt, seenAt, permanent, current }: ListedSession, logout: string | null, now: number): SafeHtml {
  const seen = current ? 'In use now' : html`Last seen <time datetime="${iso(seenAt)}">${ago(seenAt, now)}</time>`
  // Without the logout route, ending this session is the logout.
  const button = current && logout !== null
    ? html`<button class="quiet" formaction="${logout}">Log out</button>`
    : html`<button class="quiet" name="handle" value="${handle}" aria-describedby="session-${handle}">${current ? 'Log out' : 'End this session'}</button>`
  return html`<li>
<div id="session-${handle}"><h2>${client}${current ? html` <span class="tag">this one</span>` : ''}</h2>
<p class="muted">${seen}<br>
Logged in <time datetime="${iso(createdAt)}">${date(createdAt)}</time><br>
From ${address}${permanent ? html`<br>Stays signed in` : ''}</p></div>
${button}
</li>`
}

export interface PasswordPage {
  prefix: string
  /** The session to end; null for all other sessions. */
  handle: string | null
  /** Why the last try failed. */
  error: string | undefined
}

export function passwordPage ({ prefix, handle, error }: PasswordPage): Page {
  const [name, value, what] = handle === null ? ['others', '1', 'End all other sessions'] : ['handle', handle, 'End this session']
  return {
    title: 'Your password',
    notice: error === undefined ? undefined : { kind: 'bad', text: error },
    body: html`<h1>Is it you?</h1>
<p>You logged in more than 10 minutes ago, so please type your password once more.</p>
<form method="post" action="${prefix}/sessions">
<input type="hidden" name="${name}" value="${value}">
<div class="field"><label for="password">Password</label>
<input id="password" name="password" type="password" required maxlength="1024" autocomplete="current-password" autofocus${error === undefined ? '' : html` aria-invalid="true"`}></div>
<button>${what}</button>
</form>
<p class="aside"><a href="${prefix}/sessions">Back to my sessions</a></p>`
  }
}
