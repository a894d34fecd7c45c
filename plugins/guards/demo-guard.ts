import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import { isLocal } from '../config/forwarded.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Whether a request says that it comes from this machine: to a loopback name, and through no proxy that shows. */
    isLocal (request: FastifyRequest): boolean
    /** Why demo mode, which is for this machine alone, does not answer a request; null if it does. */
    demoError (request: FastifyRequest): Error | null
    /** Why a request is not answered at all, whatever it is for: its header, or demo mode; null if it is. */
    refusalOf (request: FastifyRequest): Error | null
  }
}

export const DemoModeError = createError('HATCHECK_DEMO_MODE',
  'In demo mode hatcheck serves this machine only: anyone could sign up. To serve others, set SECRET_KEY and SIGNUP, and TRUST_PROXY if there is a proxy.', 403)

/** So that a proxy put in front by mistake opens nothing. One that passes as a local HTTP/1.1 client cannot be told from it. */
export default fp(async function demoGuard (fastify) {
  const { hatcheck } = fastify
  hatcheck.isLocal = isLocal
  hatcheck.demoError = hatcheck.config.mode === 'demo'
    ? (request) => hatcheck.isLocal(request) ? null : new DemoModeError()
    : () => null
  hatcheck.refusalOf = (request) => hatcheck.headerError(request) ?? hatcheck.demoError(request)
}, { name: 'demo-guard', dependencies: ['config', 'host-header'] })
