/** Decodes the entities of HTML, as a browser does. */
export function unescaped (html = ''): string {
  const named: Record<string, string> = { lt: '<', gt: '>', quot: '"', amp: '&' }
  return html.replace(/&(?:#(\d+)|(\w+));/g, (entity, code?: string, name?: string) =>
    code !== undefined ? String.fromCodePoint(Number(code)) : named[name ?? ''] ?? entity)
}
