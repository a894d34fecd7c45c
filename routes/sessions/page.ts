import { touchEvery, type Lifetime, type Lifetimes } from '../../plugins/common/lifetimes.js'
import { iso } from '../../plugins/common/iso.js'
import type { UserSession } from '../../plugins/session/outside/user-sessions.js'
import { html, type SafeHtml } from '../../plugins/view/html.js'
import type { Language } from '../../plugins/view/language.js'
import { userField, type Page, type PageParts } from '../../plugins/view/layout.js'
import { ago, date, span } from './time.js'

export type ListedSession = UserSession & {
  /** Whether this is the session of the request. */
  current: boolean
}

interface SessionsPage {
  base: string
  /** The link back. */
  home: string
  hasLogout: boolean
  /** The user's name. The form counts for no other user. */
  name: string
  sessions: readonly ListedSession[]
  /** How many sessions the user has; null: only this one is known. The list may be shorter. */
  total: number | null
  /** The current time, in ms. */
  now: number
  lifetimes: Lifetimes
  notice: PageParts['notice']
}

export function sessionsPage ({ base, home, hasLogout, name, sessions, total, now, lifetimes, notice }: SessionsPage): Page {
  const isAlone = total !== null && sessions.every(({ current }) => current)
  const logout = hasLogout ? `${base}/logout` : null
  return (language) => {
    const { text, phrase } = language
    const delayOf = (lifetime: Lifetime): string => span(touchEvery(lifetime), Math.ceil, language)
    return {
      title: text('My sessions'),
      notice,
      // One form for all sessions: each button names what it ends.
      body: html`<h1>${text('My sessions')}</h1>
<form method="post" action="${base}/sessions">
${userField(name)}
<ul class="sessions" role="list">${sessions.map((session) => item(session, { logout, now, language }))}</ul>
${isAlone ? '' : html`<button name="others" value="1">${text('End all other sessions')}</button>`}
</form>
${total === null ? html`<p class="muted">${text('Your sessions are kept in your browsers, so only this one can be shown.')}</p>` : ''}
${total === null || sessions.length === total ? '' : html`<p class="muted">${phrase('Showing the {shown} most recently used of your {total} sessions.', { shown: sessions.length, total })}</p>`}
${isAlone
  ? ''
  : html`<p class="muted">${phrase('Activity is recorded from time to time, so "last seen" can be up to {delay} out of date, or {permanentDelay} for sessions that stay signed in.',
    { delay: delayOf(lifetimes.browser), permanentDelay: delayOf(lifetimes.permanent) })}</p>`}
<p class="aside"><a href="${home}">${text('Back to the start')}</a></p>`
    }
  }
}

interface ItemContext {
  /** The address of the logout; null without that route. */
  logout: string | null
  now: number
  language: Language
}

function item ({ handle, client, address, createdAt, seenAt, permanent, current }: ListedSession, { logout, now, language }: ItemContext): SafeHtml {
  const { text, phrase, message } = language
  const seen = current ? text('In use now') : phrase('Last seen {time}', { time: html`<time datetime="${iso(seenAt)}">${ago(seenAt, now, language)}</time>` })
  const begun = phrase('Logged in {time}', { time: html`<time datetime="${iso(createdAt)}">${date(createdAt, language)}</time>` })
  // Without the logout route, ending this session is the logout.
  const button = current && logout !== null
    ? html`<button class="quiet" formaction="${logout}">${text('Log out')}</button>`
    : html`<button class="quiet" name="handle" value="${handle}" aria-describedby="session-${handle}">${current ? text('Log out') : text('End this session')}</button>`
  return html`<li>
<div id="session-${handle}"><h2>${clientName(client, language)}${current ? html` <span class="tag">${text('this one')}</span>` : ''}</h2>
<p class="muted">${seen}<br>
${begun}<br>
${phrase('From {address}', { address: message(address) })}${permanent ? html`<br>${text('Stays signed in')}` : ''}</p></div>
${button}
</li>`
}

/** Translates a client such as `Firefox on Linux`. */
function clientName (client: string, { phrase, message }: Language): SafeHtml | string {
  const [browser = '', system] = client.split(' on ')
  return system === undefined ? message(client) : phrase('{browser} on {system}', { browser, system })
}
