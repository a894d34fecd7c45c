import fastifyCookie, { type SerializeOptions } from '@fastify/cookie'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface Hatcheck {
    /** Sets a cookie, beside those that the reply sets already. */
    setCookie (reply: FastifyReply, name: string, value: string, attributes: SerializeOptions): void
    /** Takes a cookie out of the browser, which goes by its name and its attributes. */
    clearCookie (reply: FastifyReply, name: string, attributes: SerializeOptions): void
  }
}

/**
 * `@fastify/cookie` writes the cookies, but in a scope of its own: what it adds to every request and reply, and its hook, would
 * be paid by each of them, and few set a cookie. An application registers it for itself, or not, as it likes.
 */
export default fp(async function cookie (fastify) {
  const { hatcheck } = fastify
  await fastify.register(async (scope) => {
    await withCookies(scope)
    hatcheck.setCookie = (reply, ...cookie) => { reply.header('set-cookie', scope.serializeCookie(...cookie)) }
    hatcheck.clearCookie = (reply, name, attributes) => { hatcheck.setCookie(reply, name, '', { ...attributes, expires: new Date(0), maxAge: 0 }) }
  })
}, { name: 'cookie', dependencies: ['config'] })

/** Gives a scope `@fastify/cookie`, unless the application around it has that already. */
export async function withCookies (scope: FastifyInstance): Promise<void> {
  if (!scope.hasDecorator('parseCookie')) await scope.register(fastifyCookie, { hook: false })
}
