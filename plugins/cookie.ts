import fastifyCookie from '@fastify/cookie'
import fp from 'fastify-plugin'

export default fp(async function cookie (fastify) {
  // A host application that uses cookies itself has registered it with its own settings.
  if (fastify.hasDecorator('parseCookie')) return
  // hatcheck looks for its cookie only when the session is asked for, so no request has to be parsed.
  await fastify.register(fastifyCookie, { hook: false })
}, { name: 'cookie' })
