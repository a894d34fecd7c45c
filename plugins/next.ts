import fp from 'fastify-plugin'
import { originOf } from './config/origins.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Where to go on to: a path on this origin, or an address on an allowed one. Anything else is the start page, or that of the application. */
    nextOf (value: unknown): string
    /** The login page, which leads back to there. */
    loginPathTo (value: unknown): string
  }
}

/** An origin that no address can name by itself: what resolves to it stayed relative. */
const HERE = 'http://next.invalid'
/** In characters, as it is written in an address: as long as those that nginx takes by default. */
const LONGEST = 8_192

export default fp(async function next (fastify) {
  const { base, home, isAllowedOrigin } = fastify.hatcheck.config

  fastify.hatcheck.nextOf = (value) => {
    if (typeof value !== 'string' || value.length > LONGEST) return home
    const address = addressOf(value)
    // One character may be nine in an address, and a proxy takes no header of any length.
    return address === null || address.length > LONGEST ? home : address
  }

  fastify.hatcheck.loginPathTo = (value) => `${base}/login?next=${encodeURIComponent(fastify.hatcheck.nextOf(value))}`

  function addressOf (value: string): string | null {
    // Browsers drop tabs and line breaks from an address and read a backslash as a slash.
    if (/[\p{Cc}\\]/u.test(value)) return null
    const absolute = originOf(value)
    if (absolute !== null) return isAllowedOrigin(absolute) ? new URL(value).href : null
    if (!value.startsWith('/') || value.startsWith('//')) return null
    const { origin, pathname, search, hash } = new URL(value, HERE)
    return origin === HERE && !pathname.startsWith('//') ? pathname + search + hash : null
  }
}, { name: 'next', dependencies: ['config'] })
