import fastifyCookie, { type SerializeOptions } from '@fastify/cookie'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

export type Cookies = ReturnType<typeof createCookies>

/**
 * `@fastify/cookie` writes the cookies, but in a scope of its own: what it adds to every request and reply, and its hook, would
 * be paid by each of them, and few set a cookie. An application registers it for itself, or not, as it likes.
 */
export default fp(async function cookie (fastify) {
  await fastify.register(async (scope) => {
    await withCookies(scope)
    fastify.hatcheck.provide('cookies', createCookies(scope))
  })
}, { name: 'cookie', dependencies: ['config'] })

function createCookies (scope: FastifyInstance) {
  /** Sets a cookie, beside those of other names that the response sets already. */
  function set (reply: FastifyReply, name: string, value: string, attributes: SerializeOptions): void {
    putCookies(reply, [...cookiesBeside(reply, name), scope.serializeCookie(name, value, attributes)])
  }

  /** Sets no such cookie after all. */
  function drop (reply: FastifyReply, name: string): void {
    const others = cookiesBeside(reply, name)
    if (others.length < cookiesOf(reply).length) putCookies(reply, others)
  }

  /** Lets the cookies be sent also if the handler writes the response by itself. */
  function expose (reply: FastifyReply): void {
    const lines = reply.getHeader('set-cookie')
    if (lines !== undefined && !reply.raw.headersSent) reply.raw.setHeader('set-cookie', lines)
  }

  /** Takes a cookie out of the browser, which goes by its name and its attributes. */
  function clear (reply: FastifyReply, name: string, attributes: SerializeOptions): void {
    set(reply, name, '', { ...attributes, expires: new Date(0), maxAge: 0 })
  }

  return { set, drop, expose, clear }
}

/** Gives a scope `@fastify/cookie`, unless the application around it has that already. */
export async function withCookies (scope: FastifyInstance): Promise<void> {
  if (!scope.hasDecorator('parseCookie')) await scope.register(fastifyCookie, { hook: false })
}

/** What a response sets. Express middleware puts it on the response of Node, which Fastify would override. */
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
