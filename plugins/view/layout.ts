import type { Config } from '../config/resolve.js'
import { html, type SafeHtml } from './html.js'
import { perLanguage, type Language } from './language.js'

/** The parts of a page within the frame that all pages share. */
export interface PageParts {
  title: SafeHtml | string
  body: SafeHtml
  /** A message above the body, in English. */
  notice?: { kind: 'good' | 'bad', text: string } | undefined
}

/** Marks a field as the one that the message above the body is about: a screen reader reads the message with the field. */
export const flawed = html` aria-invalid="true" aria-describedby="notice"`

/** Names the user of a form, which counts for no other user. Not in the field below: a password manager may fill in a name of its own. */
export function userField (name: string): SafeHtml {
  return html`<input type="hidden" name="user" value="${name}">`
}

/** Names the user to password managers, which fill in and store the password of this name. */
export function usernameField (name: string): SafeHtml {
  return html`<input name="client_name" value="${name}" autocomplete="username" readonly hidden>`
}

/** A page in any language. */
export type Page = (language: Language) => PageParts

/** The frame of the pages. */
interface Frame extends Pick<Config, 'pageTitle' | 'pageLogo' | 'pageAccentColor' | 'pageStylesheet'> {
  style: SafeHtml
  isDemo: boolean
}

/** A hat on its hook. */
const mark = html`<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M2 22c3 4 25 4 28 0M8 23.5L9 9c.3-3.5 4-3 7-1.6 3-1.4 6.7-1.9 7 1.6l1 14.5M8.4 18.5c4 1.8 11.2 1.8 15.2 0"/></svg>`

/**
 * Makes the function that renders a page.
 *
 * What hatcheck itself adds to a page must be ASCII in English: one character beyond Latin-1 makes Node keep and send the whole
 * response as a string of two bytes a character, which is markedly slower.
 */
export function createLayout ({ pageTitle, pageLogo, pageAccentColor = '#3b7f9a', pageStylesheet, style, isDemo }: Frame): (page: PageParts, language: Language) => string {
  // A logo often has the name of the application in it.
  const name = pageTitle ?? (pageLogo === undefined ? 'hatcheck' : '')
  const brand = html`<p class="brand">${pageLogo === undefined ? mark : html`<img src="${pageLogo}" alt="">`}${name}</p>`
  const after = name === '' ? '' : html` | ${name}`
  const stylesheet = pageStylesheet === undefined
    ? ''
    : html`
<link rel="stylesheet" href="${pageStylesheet}">`
  const head = html`<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${pageLogo ?? iconOf(pageAccentColor)}">
<style>${style}</style>${stylesheet}`
  const footer = perLanguage(({ text }) => isDemo ? html`<p>${text('Demo mode: logging in with a new name creates the account. Only this machine can use the service.')}</p>` : '')

  return ({ title, body, notice }, language) => {
    const text = html`<!doctype html>
<html lang="${language.tag}">
<head>
<meta charset="utf-8">
<title>${title}${after}</title>
${head}
</head>
<body>
<main>
<div class="card">
${brand}
${notice === undefined ? '' : html`<p id="notice" class="notice ${notice.kind}" role="${notice.kind === 'bad' ? 'alert' : 'status'}">${language.message(notice.text)}</p>`}
${body}
</div>
</main>
<footer class="muted">${footer(language)}</footer>
</body>
</html>`
    // Node would flatten a string made of pieces twice: to measure the page and to send it.
    return [String(text), '\n'].join('')
  }
}

function iconOf (color: string): string {
  return 'data:image/svg+xml,' + encodeURIComponent(String(mark)
    .replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ').replace('currentColor', color))
}
