import { html } from 'ghtml'
import { touchEvery, type Lifetimes } from '../../plugins/common/clock.js'
import type { UserSession } from '../../plugins/session/user-sessions.js'
import type { Page } from '../../plugins/view/layout.js'
import { ago, date, iso, span } from './time.js'

export type ListedSession = UserSession & {
  /** Whether it is the one of the request. */
  current: boolean
}

export interface SessionsPage {
  prefix: string
  /** Where it leads back to. */
  home: string
  hasLogout: boolean
  sessions: readonly ListedSession[]
  /** How many there are. Not all may be in the list. */
  total: number
  /** The time, in ms. */
  now: number
  lifetimes: Lifetimes
  notice: string | undefined
}

export function sessionsPage ({ prefix, home, hasLogout, sessions, total, now, lifetimes, notice }: SessionsPage): Page {
  const isAlone = sessions.every(({ current }) => current)
  const [late, lateIfPermanent] = [lifetimes.browser, lifetimes.permanent].map((lifetime) => span(touchEvery(lifetime), Math.ceil))
  return {
    title: 'My sessions',
    notice: notice === undefined ? undefined : { kind: 'good', text: notice },
    // One form for all: each button says what is to end.
    body: html`<h1>My sessions</h1>
<form method="post" action="${prefix}/sessions">
<ul class="sessions" role="list">!${sessions.map((session) => item(session, hasLogout ? `${prefix}/logout` : null, now))}</ul>
!${isAlone ? '' : '<button name="others" value="1">End all other sessions</button>'}
</form>
!${sessions.length === total ? '' : html`<p class="muted">These are ${String(sessions.length)} of your ${String(total)} sessions, those in use last.</p>`}
!${isAlone ? '' : html`<p class="muted">Activity is noted now and then: "last seen" may be up to ${late} behind, and ${lateIfPermanent} where you stay signed in.</p>`}
<p class="aside"><a href="${home}">Back to the start</a></p>`
  }
}

function item ({ handle, client, address, createdAt, seenAt, permanent, current }: ListedSession, logout: string | null, now: number): string {
  const seen = current ? 'In use now' : html`Last seen <time datetime="${iso(seenAt)}">${ago(seenAt, now)}</time>`
  // Without the route of a logout, the end of this session is one.
  const button = current && logout !== null
    ? html`<button class="quiet" formaction="${logout}">Log out</button>`
    : html`<button class="quiet" name="handle" value="${handle}" aria-describedby="session-${handle}">${current ? 'Log out' : 'End this session'}</button>`
  return html`<li>
<div id="session-${handle}"><h2>${client}!${current ? ' <span class="tag">this one</span>' : ''}</h2>
<p class="muted">!${seen}<br>
Logged in <time datetime="${iso(createdAt)}">${date(createdAt)}</time><br>
From ${address}!${permanent ? '<br>Stays signed in' : ''}</p></div>
!${button}
</li>`
}

export interface PasswordPage {
  prefix: string
  /** Of the session that is to end; null for all others. */
  handle: string | null
  /** Why it did not work. */
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
<input id="password" name="password" type="password" required maxlength="1024" autocomplete="current-password" autofocus!${error === undefined ? '' : ' aria-invalid="true"'}></div>
<button>${what}</button>
</form>
<p class="aside"><a href="${prefix}/sessions">Back to my sessions</a></p>`
  }
}
