import { html, type SafeHtml } from './html.js'
import { style } from './style.js'

export interface Page {
  title: string
  body: SafeHtml
  /** A message above the body. */
  notice?: { kind: 'good' | 'bad', text: string } | undefined
}

/** A hat on its hook. */
const mark = html`<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M2 22c3 4 25 4 28 0M8 23.5L9 9c.3-3.5 4-3 7-1.6 3-1.4 6.7-1.9 7 1.6l1 14.5M8.4 18.5c4 1.8 11.2 1.8 15.2 0"/></svg>`

const icon = 'data:image/svg+xml,' + encodeURIComponent(String(mark)
  .replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ').replace('currentColor', '#3b7f9a'))

const head = html`<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${icon}">
<style>${style}</style>`

/**
 * Renders a page in the frame that all pages share. `footer` is the same on every page.
 *
 * The frame must be ASCII: one character beyond Latin-1 makes Node keep and send the whole response as a string of two
 * bytes a character, which is markedly slower.
 */
export function layout ({ title, body, notice }: Page, footer: SafeHtml | ''): string {
  const text = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title} | hatcheck</title>
${head}
</head>
<body>
<main>
<div class="card">
<p class="brand">${mark}hatcheck</p>
${notice === undefined ? '' : html`<p class="notice ${notice.kind}" role="${notice.kind === 'bad' ? 'alert' : 'status'}">${notice.text}</p>`}
${body}
</div>
</main>
<footer class="muted">${footer}</footer>
</body>
</html>`
  // Node would flatten a string made of pieces twice: to measure the page and to send it.
  return [String(text), '\n'].join('')
}
