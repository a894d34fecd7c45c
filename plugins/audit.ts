import fp from 'fastify-plugin'

/** Names of the OWASP Application Logging Vocabulary, where it has one. */
export type AuditEvent =
  | 'authn_login_success'
  | 'authn_login_fail'
  | 'authn_login_throttled'
  | 'authn_password_change'
  | 'authn_password_change_fail'

export interface AuditDetails {
  /** Who it is about: the name as it was given. */
  user?: string
  /** One of a few fixed words, never text from outside. */
  reason?: string
}

declare module 'fastify' {
  interface Hatcheck {
    /** Writes a security event to the log, once. */
    audit (event: AuditEvent, request: FastifyRequest, details?: AuditDetails): void
  }
}

export default fp(async function audit (fastify) {
  fastify.hatcheck.audit = (event, request, details = {}) => {
    request.log.info({ event, ...details }, event)
  }
}, { name: 'audit', dependencies: ['config'] })
