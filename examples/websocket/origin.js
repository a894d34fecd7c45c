/**
 * Tells whether a handshake comes from a page of this host, or from a program. Browsers send cookies with the handshake of a
 * WebSocket from any site, and only the Origin header tells which.
 */
export function isSameOrigin ({ origin, host }) {
  if (origin === undefined) return true
  // Another port of the same host is the server beside Fastify.
  return URL.canParse(origin) && new URL(origin).hostname === new URL(`http://${host}`).hostname
}
