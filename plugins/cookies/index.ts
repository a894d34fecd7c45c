import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

export type Cookies = ReturnType<typeof createCookies>

// Not the type of @fastify/cookie: its types would give the requests of every application the members that it decorates.
/** The attributes of a cookie. */
export interface CookieAttributes {
  domain?: string
  path?: string
  expires?: Date
  /** In seconds. */
  maxAge?: number
  httpOnly?: boolean
  secure?: boolean
  sameSite?: 'lax' | 'strict' | 'none'
  partitioned?: boolean
}

export default fp(async function cookies (fastify) {
  fastify.hatcheck.provide('cookies', await openCookies(fastify))
}, { name: 'cookies', dependencies: ['config'] })

/**
 * Writes cookies with `@fastify/cookie`, in a scope of its own: its hook and its decorations would cost every request, and few
 * requests set a cookie. The application can register `@fastify/cookie` for itself.
 */
export async function openCookies (fastify: FastifyInstance): Promise<Cookies> {
  let cookies: Cookies | undefined
  await fastify.register(async (scope) => {
    await withCookies(scope)
    cookies = createCookies(scope)
  })
  return cookies as Cookies
}

function createCookies (scope: FastifyInstance) {
  /** The lines that remove cookies: the attributes of nearly every cookie are those of a profile, which does not change. */
  const clearing = new WeakMap<CookieAttributes, { name: string, line: string }>()

  /** Returns the line of a Set-Cookie header. */
  function serialize (name: string, value: string, attributes: CookieAttributes): string {
    return scope.serializeCookie(name, value, attributes)
  }

  /** Sets a cookie, beside the cookies of other names that the response already sets. */
  function set (reply: FastifyReply, name: string, value: string, attributes: CookieAttributes): void {
    putCookie(reply, name, serialize(name, value, attributes))
  }

  /** Removes a cookie from the response. */
  function drop (reply: FastifyReply, name: string): void {
    const others = cookiesBeside(reply, name)
    if (others.length < cookiesOf(reply).length) putCookies(reply, others)
  }

  /** Removes a cookie from the browser, which identifies it by name and attributes. */
  function clear (reply: FastifyReply, name: string, attributes: CookieAttributes): void {
    let known = clearing.get(attributes)
    if (known?.name !== name) {
      known = { name, line: serialize(name, '', { ...attributes, expires: new Date(0), maxAge: 0 }) }
      clearing.set(attributes, known)
    }
    putCookie(reply, name, known.line)
  }

  return { serialize, set, drop, clear }
}

/** Registers `@fastify/cookie` in a scope, unless the application around it already has. */
export async function withCookies (scope: FastifyInstance): Promise<void> {
  if (scope.hasPlugin('@fastify/cookie')) return
  const { default: fastifyCookie } = await import('@fastify/cookie')
  await scope.register(fastifyCookie, { hook: false })
}

/** Puts the line of a cookie into a response, beside those of other names. */
function putCookie (reply: FastifyReply, name: string, line: string): void {
  const [ofNode, ofReply] = [reply.raw.getHeader('set-cookie'), reply.getHeader('set-cookie')]
  // A session sends its cookie as it changes, and again with the response.
  if (ofReply === line && (ofNode === undefined || ofNode === line)) return
  putCookies(reply, ofNode === undefined && ofReply === undefined ? [line] : [...cookiesBeside(reply, name), line])
}

/** Returns the cookies that a response sets. Express middleware sets them on the response of Node, where Fastify would replace them. */
function cookiesOf (reply: FastifyReply): string[] {
  return [...new Set([reply.raw.getHeader('set-cookie'), reply.getHeader('set-cookie')].flatMap((lines) => lines ?? []).map(String))]
}

function cookiesBeside (reply: FastifyReply, name: string): string[] {
  return cookiesOf(reply).filter((line) => !line.startsWith(`${name}=`))
}

function putCookies (reply: FastifyReply, lines: readonly string[]): void {
  reply.removeHeader('set-cookie')
  if (reply.raw.hasHeader('set-cookie') && !reply.raw.headersSent) reply.raw.removeHeader('set-cookie')
  if (lines.length > 0) reply.header('set-cookie', lines.length === 1 ? lines[0] as string : [...lines])
}
