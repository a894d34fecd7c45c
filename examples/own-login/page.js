/** Escapes a text for HTML. */
export function text (value) {
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

export function page (reply, title, body) {
  return reply.type('text/html; charset=utf-8').send(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(title)}</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 20rem; margin: 3rem auto; padding: 0 1rem }
  label, button { display: block; width: 100%; margin: 1rem 0 }
  input:not([type=checkbox]) { display: block; width: 100% }
  input, button { font: inherit; padding: .4rem; box-sizing: border-box }
  [role=alert] { border-left: .25rem solid #c33; padding: .4rem .8rem }
</style>
<body>${body}</body>
</html>
`)
}
