import fp from 'fastify-plugin'
import { cookieValues } from './tickets/ticket.js'

/** What a page may say about the step before it. The cookie names one of these; it carries no text of its own. */
const texts = {
  login: 'You are logged in.',
  logout: 'You are logged out.',
  password: 'Your password is changed, and every other session is ended.',
  'session-ended': 'The session is ended.',
  'others-ended': 'All other sessions are ended.'
} as const

export type Notice = keyof typeof texts

declare module 'fastify' {
  interface Hatcheck {
    /** Leaves a message for the next page, if the caller is a browser. */
    leaveNotice (request: FastifyRequest, reply: FastifyReply, notice: Notice): void
    /** The message that was left, which is then gone. With a list: if it is one of these; any other stays. */
    takeNotice (request: FastifyRequest, reply: FastifyReply, only?: readonly Notice[]): string | undefined
  }
}

const COOKIE = 'hatcheck-notice'
const SECONDS = 30

/**
 * The message after a login, a logout or a change of the password. It is in a cookie of its own, and not in the session, because after a logout
 * there must be no session.
 */
export default fp(async function notice (fastify) {
  const { hatcheck } = fastify
  const attributes = { path: hatcheck.config.base || '/', httpOnly: true, sameSite: 'lax' } as const

  hatcheck.leaveNotice = (request, reply, name) => {
    if (!(request.headers.accept ?? '').includes('text/html')) return
    hatcheck.setCookie(reply, COOKIE, name, { ...attributes, secure: request.protocol === 'https', maxAge: SECONDS })
  }

  hatcheck.takeNotice = (request, reply, only) => {
    const header = request.headers.cookie
    if (header === undefined || !header.includes(COOKIE) || request.method !== 'GET') return undefined
    const [value] = cookieValues(header, COOKIE)
    if (value === undefined || only?.includes(value as Notice) === false) return undefined
    hatcheck.clearCookie(reply, COOKIE, attributes)
    return Object.hasOwn(texts, value) ? texts[value as Notice] : undefined
  }
}, { name: 'notice', dependencies: ['config', 'cookie'] })
