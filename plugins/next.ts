import fp from 'fastify-plugin'
import { originOf } from './config/origins.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Where to go on to: a path on this origin, or an address on an allowed one. Anything else is the start page, or that of the application. */
    nextOf (value: unknown): string
  }
}

/** An origin that no address can name by itself: what resolves to it stayed relative. */
const HERE = 'http://next.invalid'
/** In characters: as long as the addresses that nginx takes by default. */
const LONGEST = 8_192

export default fp(async function next (fastify) {
  const { home, isAllowedOrigin } = fastify.hatcheck.config

  fastify.hatcheck.nextOf = (value) => {
    if (typeof value !== 'string' || value.length > LONGEST) return home
    // Browsers drop tabs and line breaks from an address and read a backslash as a slash.
    if (/[\p{Cc}\\]/u.test(value)) return home
    const absolute = originOf(value)
    if (absolute !== null) return isAllowedOrigin(absolute) ? new URL(value).href : home
    if (!value.startsWith('/') || value.startsWith('//')) return home
    const { origin, pathname, search, hash } = new URL(value, HERE)
    return origin === HERE && !pathname.startsWith('//') ? pathname + search + hash : home
  }
}, { name: 'next', dependencies: ['config'] })
