import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { ConfigPluginOptions } from '../config/index.js'
import { clientAddress } from '../session/client.js'

/**
 * Names of the OWASP Application Logging Vocabulary, where it has one, each with its level: `warn` is for what someone
 * may want to be woken by.
 *
 * Source: https://cheatsheetseries.owasp.org/cheatsheets/Logging_Vocabulary_Cheat_Sheet.html
 */
const levels = {
  authn_login_success: 'info',
  authn_login_fail: 'warn',
  authn_login_throttled: 'warn',
  authn_password_change: 'info',
  authn_password_change_fail: 'warn',
  authz_fail: 'warn',
  malicious_cors: 'warn',
  session_created: 'info',
  session_renewed: 'info',
  session_ended: 'info',
  sys_startup: 'info',
  sys_shutdown: 'info',
  sys_crash: 'error'
} as const

export type AuditEvent = keyof typeof levels

export interface AuditDetails {
  /** Who it is about: the name as it was given. */
  user?: string | null
  /** One of a few fixed words, never text from outside. */
  reason?: string
  /** The handle of the session; the one of the request if nothing is said. */
  session?: string | undefined
  /** The handle that the session had before. */
  previous?: string
  /** The process id of the worker that it is about. */
  worker?: number
}

/** Writes a security event to the log, once. The request is null where none has caused it. */
export type Audit = (event: AuditEvent, request: FastifyRequest | null, details?: AuditDetails) => void

/** Longer than any name that can log in. */
const LONGEST_USER = 256

/** Makes the log for security events, which has a level of its own. */
export function auditLogOf (log: FastifyBaseLogger, isOn: boolean): FastifyBaseLogger {
  return log.child({}, { level: isOn ? 'info' : 'silent' })
}

/** The line of an event. What belongs to an application calls `hatcheck.audit`. */
export function writeEvent (log: FastifyBaseLogger, event: AuditEvent, { user = null, ...details }: AuditDetails & { address?: string | undefined }): void {
  log[levels[event]]({ event, user: user?.slice(0, LONGEST_USER) ?? null, ...details }, event)
}

/** One log line for each security event. There are handles in it and neither ids nor tickets. */
export default fp<ConfigPluginOptions>(async function audit (fastify, { hatcheck: { auditLog } }) {
  const { hatcheck, sessions } = fastify
  // An application decides what its log has.
  const logOf = hatcheck.config.mode === 'plugin' ? (log: FastifyBaseLogger) => log : (log: FastifyBaseLogger) => auditLogOf(log, auditLog)

  const { metrics, session: { handleOf } } = hatcheck
  const audit: Audit = (event, request, details = {}) => {
    metrics?.countEvent(event, details.reason)
    const asking = request === null ? {} : { session: handleOf(request), address: clientAddress(request) }
    writeEvent(logOf(request?.log ?? fastify.log), event, { ...asking, ...details })
  }
  hatcheck.provide('audit', audit)

  sessions.on('created', ({ user, handle }, request) => { audit('session_created', request, { user, session: handle }) })
  sessions.on('renewed', ({ user, handle, previous }, request) => { audit('session_renewed', request, { user, session: handle, previous }) })
  for (const [end, reason] of [['destroyed', 'logout'], ['expired', 'expired'], ['revoked', 'revoked']] as const) {
    sessions.on(end, ({ user, handle }, request) => { audit('session_ended', request, { user, session: handle, reason }) })
  }
}, { name: 'audit', dependencies: ['config', 'session', 'metrics'] })
