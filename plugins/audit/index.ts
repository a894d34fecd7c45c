import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { clientAddress } from '../common/client-address.js'
import type { ConfigPluginOptions } from '../config/index.js'

/**
 * The events and their log levels. Names are those of the OWASP Application Logging Vocabulary where it has one. `warn` marks
 * the events that deserve an alert.
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

interface AuditDetails {
  /** The user of the event: the name as it was typed. */
  user?: string | null
  /** One of a few fixed words, never text from a client. */
  reason?: string
  /** The handle of the session; by default that of the request. */
  session?: string | undefined
  /** The handle of the session before its renewal. */
  previous?: string
  /** The process ID of the worker, for an event about a worker. */
  worker?: number
}

/** Writes a security event to the log. `request` is null if no request caused the event. */
export type Audit = (event: AuditEvent, request: FastifyRequest | null, details?: AuditDetails) => void

/** The longest name that is logged, in characters; no name that can log in is longer. */
const LONGEST_USER = 256

/** Makes the logger for security events, whose level does not depend on `LOG_LEVEL`. */
export function auditLogOf (log: FastifyBaseLogger, isOn: boolean): FastifyBaseLogger {
  return log.child({}, { level: isOn ? 'info' : 'silent' })
}

/** Writes the line of an event, for processes without an application. Plugins and routes call `hatcheck.audit`. */
export function writeEvent (log: FastifyBaseLogger, event: AuditEvent, { user = null, ...details }: AuditDetails & { address?: string | undefined }): void {
  log[levels[event]]({ event, user: user?.slice(0, LONGEST_USER) ?? null, ...details }, event)
}

/** Writes one log line per security event, with handles and never with IDs or tickets. */
export default fp<ConfigPluginOptions>(async function audit (fastify, { hatcheck: { auditLog } }) {
  const { hatcheck, sessions } = fastify
  // An application decides about the level of its log.
  const logOf = hatcheck.config.mode === 'plugin' ? (log: FastifyBaseLogger) => log : (log: FastifyBaseLogger) => auditLogOf(log, auditLog)

  const { metrics, session: { handleFor } } = hatcheck
  const audit: Audit = (event, request, details = {}) => {
    metrics?.countEvent(event, details.reason)
    const asking = request === null ? {} : { session: details.session ?? handleFor(request), address: clientAddress(request) }
    writeEvent(logOf(request?.log ?? fastify.log), event, { ...asking, ...details })
  }
  hatcheck.provide('audit', audit)

  sessions.on('created', ({ user, handle }, request) => { audit('session_created', request, { user, session: handle }) })
  sessions.on('renewed', ({ user, handle, previous }, request) => { audit('session_renewed', request, { user, session: handle, previous }) })
  for (const [end, reason] of [['destroyed', 'logout'], ['expired', 'expired'], ['revoked', 'revoked']] as const) {
    sessions.on(end, ({ user, handle }, request) => { audit('session_ended', request, { user, session: handle, reason }) })
  }
}, { name: 'audit', dependencies: ['config', 'session', 'metrics'] })
