/**
 * Tells whether a handshake with the server beside Fastify comes from a page of this host, or from a program. Browsers send
 * cookies with the handshake of a WebSocket from any site, and only the Origin header names that site. In a route of Fastify,
 * `refuseCrossOrigin` of hatcheck also compares the scheme and the port.
 */
export function isSameHost ({ origin, host }) {
  if (origin === undefined) return true
  // An error here would end the process, and any client can send an invalid Host.
  if (!URL.canParse(origin) || !URL.canParse(`http://${host}`)) return false
  // The page comes from Fastify, which has another port.
  return new URL(origin).hostname === new URL(`http://${host}`).hostname
}
