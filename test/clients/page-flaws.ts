import type { Answer } from './client.js'

/** Elements without an end tag. */
const VOID = new Set(['meta', 'link', 'input', 'img', 'br', 'path'])

/** Lists the flaws of a page with an error: it must be whole, name what is wrong, and lead on. */
export function flawsOfPage ({ headers, body }: Answer): string[] {
  const flaws: string[] = []
  if (headers['content-type'] !== 'text/html; charset=utf-8') flaws.push(`the type is ${String(headers['content-type'])}`)
  if (!body.startsWith('<!doctype html>\n<html lang="')) flaws.push('no document type or language')
  if (!/<title>[^<]+<\/title>/.test(body)) flaws.push('no title')
  if ([...body.matchAll(/<h1>[^<]+<\/h1>/g)].length !== 1) flaws.push('not one heading')
  if (!/<a [^>]*href="[^"#]|<form method="post" action="[^"]/.test(body)) flaws.push('it does not lead on')
  const ids = [...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
  if (new Set(ids).size < ids.length) flaws.push('an id occurs twice')
  const open: string[] = []
  for (const [tag, slash, name = ''] of body.replace(/<style>.*?<\/style>/s, '').matchAll(/<(\/?)([a-z]\w*)(?:\s+[\w-]+(?:="[^"<]*")?)*>/g)) {
    if (slash === '' && !VOID.has(name)) open.push(name)
    else if (slash !== '' && open.pop() !== name) flaws.push(`${tag} ends another element`)
  }
  if (open.length > 0) flaws.push(`no end of ${open.join(', ')}`)
  return flaws
}
