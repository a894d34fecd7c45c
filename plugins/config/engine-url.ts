const COOKIE = 'cookie:'
const FLASK = 'flask:'

/** Whether a url of `sessionStore` keeps the sessions in the cookies of the browsers. */
export function isCookieUrl (store: string): boolean {
  return store.startsWith(COOKIE) || isFlaskUrl(store)
}

/** Whether a url of `sessionStore` keeps the sessions in the cookies of a Flask application. */
export function isFlaskUrl (store: unknown): store is string {
  return typeof store === 'string' && store.startsWith(FLASK)
}

/** Returns the url of the engine behind a url of `sessionStore`: what stands after `cookie:` or `flask:`, or the url itself. */
export function engineUrlOf (store: string): string {
  if (!isCookieUrl(store)) return store
  return store.slice(store.indexOf(':') + 1) || 'lmdb:'
}
