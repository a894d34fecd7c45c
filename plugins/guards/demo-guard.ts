import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import { isLocal } from '../common/forwarded.js'
import type { Mode } from '../config/mode.js'

export const DemoModeError = createError('HATCHECK_DEMO_MODE',
  'In demo mode hatcheck serves this machine only: anyone could sign up. To serve others, set SECRET_KEY and SIGNUP, and TRUST_PROXY if there is a proxy.', 403)

/**
 * Makes the check that demo mode answers this machine only, so that a proxy put in front by mistake exposes nothing. A proxy
 * that passes as a local HTTP/1.1 client cannot be told from one.
 *
 * @returns why demo mode does not answer a request; null if it does.
 */
export function createDemoCheck (mode: Mode): (request: FastifyRequest) => Error | null {
  return mode === 'demo' ? (request) => isLocal(request) ? null : new DemoModeError() : () => null
}
