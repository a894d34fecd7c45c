const HTTPS = /^https$/i

/** Tells whether a request came over https. A trusted proxy may write the scheme in any case. Source: RFC 3986, section 3.1. */
export function isHttps ({ protocol }: { readonly protocol: string }): boolean {
  return HTTPS.test(protocol)
}
