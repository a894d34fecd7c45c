import type { AuditEvent } from '../audit/index.js'
import { counter, samplesBy, type Family } from './family.js'

/** Logins and sessions, counted by what the audit log is told. All series are there from the start, so that the first failure is a rise. */
export class EventCounts {
  readonly #logins = { success: 0, fail: 0, throttled: 0, error: 0 }
  readonly #ended: Record<string, number> = { logout: 0, expired: 0, revoked: 0 }
  #created = 0
  #renewed = 0

  /** @param reason one of the fixed words of the audit log */
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
      counter('hatcheck_logins_total', 'Tries to log in, by what has become of them. A throttled one was not looked at; an error is none of the person.',
        () => samplesBy('outcome', this.#logins)),
      counter('hatcheck_sessions_created_total', 'Sessions that have begun.', () => [{ labels: {}, value: this.#created }]),
      counter('hatcheck_sessions_renewed_total', 'Sessions that go on under a new id, as after a login.', () => [{ labels: {}, value: this.#renewed }]),
      counter('hatcheck_sessions_ended_total', 'Sessions that have ended. Redis drops expired ones by itself, and those are not counted.',
        () => samplesBy('reason', this.#ended))
    ]
  }
}
