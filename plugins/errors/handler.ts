import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { STATUS_CODES } from 'node:http'
import type { AuditEvent } from '../audit/index.js'
import { clientAddress } from '../session/client.js'
import { html, type SafeHtml } from '../view/html.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The statuses of refusals that are normal for a route. Its other refusals are logged as warnings. */
    usualRefusals?: readonly number[]
  }
  interface Hatcheck {
    handleError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply
    handleNotFound (request: FastifyRequest, reply: FastifyReply): FastifyReply
  }
}

/** Refusals that the audit log tells of. Those of hatcheck's own routes all come by here. */
const refusals: Record<string, { event: AuditEvent, reason: string }> = {
  HATCHECK_CROSS_ORIGIN: { event: 'malicious_cors', reason: 'cross_origin' },
  HATCHECK_DEMO_MODE: { event: 'authz_fail', reason: 'demo_mode' }
}

/** Errors as a page for browsers, as problem+json (RFC 9457) for everything else. What is not ours stays in the log. */
export default fp(async function errorHandler (fastify) {
  const { hatcheck } = fastify
  const { base, home, hasRoute } = hatcheck.config

  hatcheck.handleError = (error, request, reply) => {
    const status = statusOf(error)
    const isOurs = typeof error.code === 'string' && error.code.startsWith('HATCHECK_')
    if (isOurs && status === 503) hatcheck.noteOutage(error, request.log)
    else if (status >= 500) request.log.error({ err: error }, error.message)
    else noteRefusal(error, status, request)
    const refusal = refusals[error.code]
    if (refusal !== undefined) hatcheck.audit(refusal.event, request, { reason: refusal.reason })
    const loginPage = error.code === 'HATCHECK_LOGIN_REQUIRED' ? hatcheck.loginPageFor(request) : null
    if (loginPage !== null) return reply.redirect(loginPage, 303)
    const detail = status < 500 || (isOurs && status === 503) ? error.message : 'Something went wrong here. It has been noted.'
    if ('headers' in error) reply.headers(error.headers as Record<string, string>)
    return answer(request, reply.code(status), { status, detail, code: error.code })
  }

  hatcheck.handleNotFound = (request, reply) =>
    answer(request, reply.code(404), { status: 404, detail: 'There is nothing at this address.', code: 'HATCHECK_NOT_FOUND' })

  /** Where to, for whom the start page has no way on. */
  function wayOn (status: number, code: string): SafeHtml | '' {
    if (status === 401 && hasRoute('login')) return html`<p><a class="button" href="${base}/login">Log in your account here</a></p>`
    if (code === 'HATCHECK_NOT_ALLOWED' && hasRoute('logout')) return html`<form method="post" action="${base}/logout"><button>Log out your account here</button></form>`
    return ''
  }

  function noteRefusal ({ code, message }: FastifyError, status: number, request: FastifyRequest): void {
    // A request whose address is refused has no route.
    const usualRefusals = request.routeOptions.config?.usualRefusals
    const err = { code, message }
    if (usualRefusals === undefined || usualRefusals.includes(status)) request.log.info({ err }, 'request refused')
    else request.log.warn({ err, req: request, user: userOf(request), address: clientAddress(request) }, 'request refused')
  }

  function answer (request: FastifyRequest, reply: FastifyReply, { status, detail, code }: Problem): FastifyReply {
    // An error can come before the hook that sets them, such as one of the parser at an unknown address.
    hatcheck.secureHeaders(request, reply)
    const title = STATUS_CODES[status] ?? 'Error'
    const accept = request.headers.accept ?? ''
    if (accept.includes('text/html') && !hatcheck.prefersJson(request)) {
      return hatcheck.page(reply, {
        title,
        body: html`<h1>${title}</h1><p>${detail}</p>${wayOn(status, code)}<p class="aside"><a href="${home}">Back to the start</a></p>`
      })
    }
    return reply.type('application/problem+json; charset=utf-8').send(JSON.stringify({ type: 'about:blank', title, status, detail, code }))
  }
}, { name: 'error-handler', dependencies: ['config', 'view', 'security-headers', 'audit', 'outages'] })

interface Problem {
  status: number
  detail: string
  code: string
}

/** Null for a visitor, and where the session could not be read. */
function userOf (request: FastifyRequest): string | null {
  try {
    return request.user?.name ?? null
  } catch {
    return null
  }
}

function statusOf ({ statusCode = 500 }: FastifyError): number {
  return statusCode >= 400 && statusCode <= 599 ? statusCode : 500
}
