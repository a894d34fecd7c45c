import type { AuditEvent } from '../audit/index.js'
import { counter, samplesBy, type Family } from './family.js'

/** Counts logins and sessions by the events of the audit log. All series exist from the start, so that `rate()` sees the first failure. */
export class EventCounts {
  readonly #logins = { success: 0, fail: 0, throttled: 0, error: 0 }
  readonly #ended: Record<string, number> = { logout: 0, expired: 0, revoked: 0 }
  #created = 0
  #renewed = 0

  /** @param reason a fixed word of the audit log */
  count (event: AuditEvent, reason = ''): void {
    switch (event) {
      case 'authn_login_success':
        this.#logins.success++
        break
      case 'authn_login_fail':
        this.#logins[reason === 'unavailable' ? 'error' : 'fail']++
        break
      case 'authn_login_throttled':
        this.#logins.throttled++
        break
      case 'session_created':
        this.#created++
        break
      case 'session_renewed':
        this.#renewed++
        break
      case 'session_ended':
        this.#ended[reason] = (this.#ended[reason] ?? 0) + 1
    }
  }

  families (): Family[] {
    return [
      counter('hatcheck_logins_total', 'Login attempts by outcome: success, fail (wrong credentials), throttled (rate limit, password not checked), error (hatcheck could not decide).',
        () => samplesBy('outcome', this.#logins)),
      counter('hatcheck_sessions_created_total', 'Sessions created.', () => [{ labels: {}, value: this.#created }]),
      counter('hatcheck_sessions_renewed_total', 'Sessions that got a new ID, for example at a login.', () => [{ labels: {}, value: this.#renewed }]),
      counter('hatcheck_sessions_ended_total', 'Sessions that ended, by reason. Sessions that expire inside Redis are not counted.',
        () => samplesBy('reason', this.#ended))
    ]
  }
}
