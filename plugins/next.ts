import fp from 'fastify-plugin'

declare module 'fastify' {
  interface Hatcheck {
    /** Where to go on to: a path on this origin, or an address on an allowed one. Anything else is the start page, or that of the application. */
    nextOf (value: unknown): string
  }
}

/** An origin that no address can name by itself: what resolves to it stayed relative. */
const HERE = 'http://next.invalid'
const LONGEST = 2048

export default fp(async function next (fastify) {
  const { home, allowedOrigins } = fastify.hatcheck.config

  fastify.hatcheck.nextOf = (value) => {
    if (typeof value !== 'string' || value.length > LONGEST) return home
    // Browsers drop tabs and line breaks from an address and read a backslash as a slash.
    if (/[\p{Cc}\\]/u.test(value)) return home
    if (allowedOrigins.some((origin) => value === origin || value.startsWith(`${origin}/`))) {
      return new URL(value).href
    }
    if (!value.startsWith('/') || value.startsWith('//')) return home
    const { origin, pathname, search, hash } = new URL(value, HERE)
    return origin === HERE && !pathname.startsWith('//') ? pathname + search + hash : home
  }
}, { name: 'next', dependencies: ['config'] })
