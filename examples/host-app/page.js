/** Escapes a text for HTML. */
export function text (value) {
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

export function page (reply, theme, title, body) {
  return reply.type('text/html; charset=utf-8').send(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(title)}</title>
<style>
  :root { color-scheme: ${theme ?? 'light dark'} }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 2rem auto; padding: 0 1rem }
  nav { text-align: right }
  input, button { font: inherit; padding: .3rem .6rem }
</style>
<body>${body}</body>
</html>
`)
}
