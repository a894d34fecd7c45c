import fastifyCookie, { type SerializeOptions } from '@fastify/cookie'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface Hatcheck {
    /** Sets a cookie, beside those of other names that the response sets already. */
    setCookie (reply: FastifyReply, name: string, value: string, attributes: SerializeOptions): void
    /** Sets no such cookie after all. */
    dropCookie (reply: FastifyReply, name: string): void
    /** Lets the cookies be sent also if the handler writes the response by itself. */
    exposeCookies (reply: FastifyReply): void
    /** Takes a cookie out of the browser, which goes by its name and its attributes. */
    clearCookie (reply: FastifyReply, name: string, attributes: SerializeOptions): void
  }
}

/**
 * Writes cookies with `@fastify/cookie`, in a scope of its own: its hook and its decorations would cost every request, and few
 * requests set a cookie. The application can register `@fastify/cookie` for itself.
 */
export default fp(async function cookie (fastify) {
  const { hatcheck } = fastify
  await fastify.register(async (scope) => {
    await withCookies(scope)
    hatcheck.setCookie = (reply, name, ...cookie) => { putCookies(reply, [...cookiesBeside(reply, name), scope.serializeCookie(name, ...cookie)]) }
    hatcheck.dropCookie = (reply, name) => {
      const others = cookiesBeside(reply, name)
      if (others.length < cookiesOf(reply).length) putCookies(reply, others)
    }
    hatcheck.exposeCookies = (reply) => {
      const lines = reply.getHeader('set-cookie')
      if (lines !== undefined && !reply.raw.headersSent) reply.raw.setHeader('set-cookie', lines)
    }
    hatcheck.clearCookie = (reply, name, attributes) => { hatcheck.setCookie(reply, name, '', { ...attributes, expires: new Date(0), maxAge: 0 }) }
  })
}, { name: 'cookie', dependencies: ['config'] })

/** Registers `@fastify/cookie` in a scope, unless the application around it already has. */
export async function withCookies (scope: FastifyInstance): Promise<void> {
  if (!scope.hasDecorator('parseCookie')) await scope.register(fastifyCookie, { hook: false })
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
