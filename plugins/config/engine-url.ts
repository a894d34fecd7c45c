const COOKIE = 'cookie:'

/** Whether a url of `sessionStore` keeps the sessions in the cookies of the browsers. */
export function isCookieUrl (store: string): boolean {
  return store.startsWith(COOKIE)
}

/** Returns the url of the engine behind a url of `sessionStore`: what stands after `cookie:`, or the url itself. */
export function engineUrlOf (store: string): string {
  if (!isCookieUrl(store)) return store
  return store.slice(COOKIE.length) || 'lmdb:'
}
