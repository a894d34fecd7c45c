import type { FastifyError } from 'fastify'

/** Returns the reason in the audit log for a failed login; null for an error with an event of its own. */
export function failureReasonOf ({ code, statusCode = 500 }: FastifyError): string | null {
  switch (code) {
    case 'HATCHECK_CROSS_ORIGIN':
    case 'HATCHECK_DEMO_MODE':
    case 'HATCHECK_OVERLOADED':
      return null
    case 'HATCHECK_NO_COOKIE':
      return 'client_gone'
    case 'HATCHECK_WRONG_CREDENTIALS':
      return 'credentials'
    case 'HATCHECK_CREDENTIALS':
    case 'HATCHECK_NAME':
    case 'HATCHECK_PASSWORD':
      return 'input'
  }
  if (statusCode === 429) return null
  return statusCode >= 500 ? 'unavailable' : 'refused'
}
