const HTTPS = /^(?:https|wss)$/i

/**
 * Tells whether a request came over https. A trusted proxy may write the scheme in any case (RFC 3986, section 3.1), and some
 * write `wss` for the request that opens a WebSocket: https://github.com/traefik/traefik/issues/6388
 */
export function isHttps ({ protocol }: { readonly protocol: string }): boolean {
  return HTTPS.test(protocol)
}
