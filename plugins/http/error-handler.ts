import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuditEvent } from '../audit/index.js'
import { clientAddress } from '../common/client-address.js'
import { STATUS_CODES } from '../common/node-http.js'
import { wants } from '../common/wants.js'
import { html, type SafeHtml } from '../view/html.js'
import type { Language } from '../view/language.js'
import type { Page } from '../view/layout.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The statuses that are normal refusals of the route. Its other refusals are logged as warnings. */
    usualRefusals?: readonly number[]
  }
}

/** Refusals that are security events. */
const refusals: Record<string, { event: AuditEvent, reason: string }> = {
  HATCHECK_CROSS_ORIGIN: { event: 'malicious_cors', reason: 'cross_origin' },
  HATCHECK_DEMO_MODE: { event: 'authz_fail', reason: 'demo_mode' }
}

/** Texts for Fastify's errors about an address. */
const ADDRESS_ERROR_TEXTS: Record<string, string> = {
  FST_ERR_BAD_URL: 'The address of this request cannot be decoded.',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of this address is longer than 100 characters.'
}

/** The types of bodies that hatcheck reads; a route may read fewer. */
const BODY_TYPES = ['application/json', 'application/x-www-form-urlencoded']

interface ErrorHandlerParts {
  secureHeaders: (request: FastifyRequest, reply: FastifyReply) => void
  noteOutage: (error: FastifyError, log: FastifyBaseLogger) => void
}

/** The parts from which a form is shown again with an error. */
export interface FormErrors {
  /** The codes of the errors that the form shows. All others get the answer of every other route. */
  codes: readonly string[]
  page: (error: FastifyError, request: FastifyRequest) => Page
  /** Runs for every error, shown or not. */
  note?: (error: FastifyError, request: FastifyRequest) => void
}

type ErrorHandler = (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => FastifyReply

export function createErrorHandler ({ hatcheck }: FastifyInstance, { secureHeaders, noteOutage }: ErrorHandlerParts) {
  const { view, audit, login, session } = hatcheck
  const { base, home, loginPage, hasRoute } = hatcheck.config

  /**
   * Answers an error: with a page for a browser, as problem+json (RFC 9457) for others. The text of an unknown error goes to
   * the log only.
   */
  function handleError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const status = statusOf(error)
    noteError(error, status, request)
    const page = error.code === 'HATCHECK_LOGIN_REQUIRED' ? login.loginPageFor(request) : null
    if (page !== null) return reply.redirect(page, 303)
    if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return refuseType(error, request, reply)
    const detail = isFault(error, status) ? 'Something went wrong. The error has been logged.' : error.message
    sendHeadersOf(error, reply)
    return answer(request, reply.code(status), { status, detail, code: error.code })
  }

  /** Writes an error to the log, and to the audit log if it is a security event. */
  function noteError (error: FastifyError, status: number, request: FastifyRequest): void {
    if (isFault(error, status)) request.log.error({ err: error }, error.message)
    else if (status === 503) noteOutage(error, request.log)
    else noteRefusal(error, status, request)
    const refusal = refusals[error.code]
    if (refusal !== undefined) audit(refusal.event, request, { reason: refusal.reason })
  }

  /** Answers a request whose address Fastify refuses (`frameworkErrors`). It reaches no route, no hook and no error handler. */
  function handleAddressError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
    // Fastify's text has the whole address with the query, which must not reach the response or the log.
    error.message = ADDRESS_ERROR_TEXTS[error.code] ?? error.message
    handleError(error, request, reply)
    hatcheck.metrics?.countRequest(request, reply)
  }

  /** Answers with the types that the route reads, which the error does not know. Source: RFC 9110, section 15.5.16. */
  function refuseType ({ code }: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const types = BODY_TYPES.filter((type) => request.server.hasContentTypeParser(type))
    return answer(request, reply.code(415).header('accept', types.join(', ')), { status: 415, detail: `The Content-Type of the body must be ${types.join(' or ')}.`, code })
  }

  function handleNotFound (request: FastifyRequest, reply: FastifyReply): FastifyReply {
    return answer(request, reply.code(404), { status: 404, detail: 'There is nothing at this address.', code: 'HATCHECK_NOT_FOUND' })
  }

  /** Makes the error handler of a form: a browser gets the form again with the error in it. */
  function showInForm ({ codes, page, note }: FormErrors): ErrorHandler {
    return (error, request, reply) => {
      note?.(error, request)
      if (!codes.includes(error.code) || wants(request, 'json') === 'json') return handleError(error, request, reply)
      const status = statusOf(error)
      if (status === 503) noteOutage(error, request.log)
      sendHeadersOf(error, reply)
      return view.page(reply.code(status), page(error, request))
    }
  }

  /** The next step for a user whom the start page does not help. */
  function wayOn (status: number, code: string, { text }: Language): SafeHtml | '' {
    if ((status === 401 || code === 'HATCHECK_SESSION_GONE') && loginPage !== null) return html`<p><a class="button" href="${loginPage}">${text('Log in your account here')}</a></p>`
    if (code === 'HATCHECK_NO_SUCH_SESSION') return html`<p><a class="button" href="${base}/sessions">${text('Back to my sessions')}</a></p>`
    if ((code === 'HATCHECK_NOT_ALLOWED' || code === 'HATCHECK_OTHER_USER') && hasRoute('logout')) return html`<form method="post" action="${base}/logout"><button>${text('Log out your account here')}</button></form>`
    return ''
  }

  function noteRefusal ({ code, message }: FastifyError, status: number, request: FastifyRequest): void {
    // A request whose address is refused has no route.
    const usualRefusals = request.routeOptions.config?.usualRefusals
    const err = { code, message }
    if (usualRefusals === undefined || usualRefusals.includes(status)) request.log.info({ err }, 'request refused')
    else request.log.warn({ err, req: request, user: userOf(request), address: clientAddress(request) }, 'request refused')
  }

  /** Null without a login, and if the session cannot be read. */
  function userOf (request: FastifyRequest): string | null {
    try {
      return session.loggedIn(request)?.name ?? null
    } catch {
      return null
    }
  }

  function answer (request: FastifyRequest, reply: FastifyReply, { status, detail, code }: Problem): FastifyReply {
    // An error can come before the hook that sets them, such as an address that cannot be decoded.
    secureHeaders(request, reply)
    const title = STATUS_CODES[status] ?? 'Error'
    if (wants(request, 'json') === 'page') {
      return view.page(reply, (language) => {
        const { text, message } = language
        return {
          title: message(title),
          body: html`<h1>${message(title)}</h1><p>${message(detail)}</p>${wayOn(status, code, language)}<p class="aside"><a href="${home}">${text('Back to the start')}</a></p>`
        }
      })
    }
    return reply.type('application/problem+json; charset=utf-8').send(JSON.stringify({ type: 'about:blank', title, status, detail, code }))
  }

  return { handleError, handleAddressError, handleNotFound, showInForm }
}

interface Problem {
  status: number
  detail: string
  code: string
}

/** Sends the headers that the error carries, such as Retry-After. */
function sendHeadersOf (error: FastifyError & { headers?: Record<string, string> }, reply: FastifyReply): void {
  if (error.headers !== undefined) reply.headers(error.headers)
}

/** Tells whether an error is a fault, whose text is for the log only. An outage (503) and a missing feature (501) of hatcheck are none. */
function isFault ({ code }: FastifyError, status: number): boolean {
  const isOurs = typeof code === 'string' && code.startsWith('HATCHECK_')
  return status >= 500 && !(isOurs && (status === 503 || status === 501))
}

function statusOf ({ statusCode = 500 }: FastifyError): number {
  return statusCode >= 400 && statusCode <= 599 ? statusCode : 500
}
