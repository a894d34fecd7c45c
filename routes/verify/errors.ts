import { createError } from '@fastify/error'

export const NotAllowedError = createError('HATCHECK_NOT_ALLOWED', 'You are logged in, but you are not allowed to see this page.', 403)
export const VerifyQueryError = createError('HATCHECK_VERIFY_QUERY',
  '/verify takes only the parameter user, once: names separated by commas, each percent-encoded.', 400)
