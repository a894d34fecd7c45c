import type { FastifyReply, FastifyRequest } from 'fastify'
import { isHttps } from '../common/is-https.js'
import { wants } from '../common/wants.js'
import { cookieValues } from '../cookies/header.js'
import type { Cookies } from '../cookies/index.js'
import type { PageParts } from './layout.js'

/** The messages. The cookie carries the name of one, never its text. */
const texts = {
  login: 'You are logged in.',
  logout: 'You are logged out.',
  password: 'Your password has been changed, and all your other sessions have ended.',
  'session-ended': 'The session has ended.',
  'others-ended': 'All other sessions have ended.'
} as const

type Notice = keyof typeof texts

const COOKIE = 'hatcheck-notice'
/** How long a message waits for its page. */
const WAIT_SECONDS = 30

/**
 * Makes the message on the page after a login, a logout or a change of the password. It has a cookie of its own, since there
 * is no session after a logout.
 *
 * @param base the path of the pages
 */
export function createNotices (cookies: Cookies, base: string) {
  const attributes = { path: base || '/', httpOnly: true, sameSite: 'lax' } as const

  /** Leaves a message for the next page, if the client is a browser. */
  function leaveNotice (request: FastifyRequest, reply: FastifyReply, name: Notice): void {
    if (wants(request, 'json') === 'json') return
    cookies.set(reply, COOKIE, name, { ...attributes, secure: isHttps(request), maxAge: WAIT_SECONDS })
  }

  /**
   * Takes the message that was left, for the page that is about to be sent, and clears its cookie.
   *
   * @param only takes these messages; any other stays.
   */
  function takeNotice (request: FastifyRequest, reply: FastifyReply, only?: readonly Notice[]): PageParts['notice'] {
    const header = request.headers.cookie
    if (header === undefined || !header.includes(COOKIE) || request.method !== 'GET') return undefined
    const [value] = cookieValues(header, COOKIE)
    if (value === undefined || only?.some((name) => name === value) === false) return undefined
    cookies.clear(reply, COOKIE, attributes)
    return isNotice(value) ? { kind: 'good', text: texts[value] } : undefined
  }

  return { leaveNotice, takeNotice }
}

function isNotice (value: string): value is Notice {
  return Object.hasOwn(texts, value)
}
