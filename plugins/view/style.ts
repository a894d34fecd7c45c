import { createHash } from 'node:crypto'
import { readableOn, textColorOn } from './color.js'
import { html, type SafeHtml } from './html.js'

/** The colors of the page and of the card, in light and in dark mode. */
const PAPER = { light: '#f4f2ee', dark: '#14171f' }
const CARD = { light: '#fff', dark: '#1d212c' }

/** The colors of buttons and links, where the options name none. */
const ACCENT = html`--accent: light-dark(#24556b, #8fc7dd); --on-accent: light-dark(#fff, #10222b); --link: var(--accent); --hover: 1.08`

/** Makes the style sheet of every page. It is inline, so that a page is one request. Light and dark follow the system. */
export function createStyle (accentColor: string | undefined): SafeHtml {
  return html`
:root { ${accentColor === undefined ? ACCENT : accentOf(accentColor)} }
${rules}`
}

/** Allows a style sheet in the Content-Security-Policy, and no other. */
export function hashOf (style: SafeHtml): string {
  return `'sha256-${createHash('sha256').update(String(style)).digest('base64')}'`
}

/** The button is the color itself, with an edge where that is too like the card. A link has enough contrast on the paper and on the card. */
function accentOf (color: string): SafeHtml {
  const onAccent = textColorOn(color)
  // The contrast must not become less below the pointer.
  const hover = onAccent === '#fff' ? 0.92 : 1.08
  return html`--accent: ${color}; --on-accent: ${onAccent}; --link: light-dark(${readableOn(PAPER.light, color)}, ${readableOn(CARD.dark, color)}); --hover: ${hover}`
}

const rules = html`:root { color-scheme: light dark; --ink: light-dark(#1d2433, #e8eaf0); --muted: light-dark(#5b6478, #a3abbd);
  --paper: light-dark(${PAPER.light}, ${PAPER.dark}); --card: light-dark(${CARD.light}, ${CARD.dark}); --line: light-dark(#dcd8d0, #353b4b);
  --field: light-dark(#8a8f9c, #6b7489); --good: light-dark(#1d6b43, #86d3a8); --bad: light-dark(#a3262b, #ff9d9a) }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; grid-template-rows: 1fr auto; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere }
main { width: min(100% - 2rem, 26rem); margin: auto; padding: 3rem 0 }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .9rem; padding: 2rem; box-shadow: 0 1rem 2.5rem -1.75rem #0006 }
.brand { display: flex; gap: .6rem; align-items: center; margin: 0 0 1.25rem; color: var(--link); font-weight: 600; letter-spacing: .01em }
.brand svg { width: 1.9rem; height: 1.9rem; flex: none }
.brand img { max-width: 100%; height: 2.5rem; object-fit: contain; flex: 0 1 auto; min-width: 1.9rem }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 1rem }
p { margin: 0 0 1rem }
.card > :last-child { margin-bottom: 0 }
a { color: var(--link); text-underline-offset: .18em }
.muted { color: var(--muted); font-size: .9rem }
.notice { border-left: .25rem solid var(--good); padding: .6rem .9rem; margin: 0 0 1.25rem; background: color-mix(in srgb, var(--good) 9%, transparent); border-radius: .3rem }
.notice.bad { border-color: var(--bad); background: color-mix(in srgb, var(--bad) 9%, transparent) }
.field { margin: 0 0 1.1rem }
.hint { margin: .35rem 0 0 }
label { display: block; font-weight: 600; margin: 0 0 .35rem }
input:not([type=checkbox]) { width: 100%; min-height: 2.9rem; padding: .55rem .75rem; font: inherit; color: inherit; background: light-dark(#fff, var(--paper));
  border: 1px solid var(--field); border-radius: .5rem }
input[aria-invalid=true] { border-color: var(--bad); box-shadow: inset 0 0 0 1px var(--bad) }
.check { display: flex; gap: .6rem; align-items: center; min-height: 2.75rem; margin: -.35rem 0 .75rem; font-weight: 400 }
.check input { width: 1.2rem; height: 1.2rem; margin: 0; accent-color: var(--link) }
button, .button { display: block; width: 100%; min-height: 2.9rem; padding: .65rem 1rem; font: inherit; font-weight: 600; text-align: center; text-decoration: none;
  color: var(--on-accent); background: var(--accent); border: 1px solid var(--link); border-radius: .5rem; cursor: pointer }
button:hover, .button:hover { filter: brightness(var(--hover)) }
.quiet { color: var(--link); background: none; border-color: var(--field) }
.sessions { list-style: none; margin: 0 0 1.25rem; padding: 0 }
.sessions li { border-top: 1px solid var(--line); padding: 1rem 0 }
form + .muted { margin: 1.25rem 0 0 }
.sessions h2 { font-size: 1rem; line-height: 1.4; margin: 0 0 .15rem }
.sessions p { margin: 0 0 .7rem }
.sessions button { width: auto; min-height: 2.75rem }
.tag { display: inline-block; margin-left: .35rem; padding: .1rem .5rem; border: 1px solid var(--good); border-radius: 1rem; color: var(--good); font-size: .8rem }
:focus-visible { outline: .2rem solid var(--link); outline-offset: .15rem }
form { margin: 0 }
.aside { margin: 1rem 0 0; text-align: center }
footer { padding: 1rem; text-align: center }
@media (max-width: 26rem) { main { padding: 1.25rem 0 } .card { padding: 1.35rem } }
@media (prefers-reduced-motion: no-preference) { button, .button { transition: filter .15s } }
`
