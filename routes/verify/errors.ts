import { createError } from '@fastify/error'

export const NotAllowedError = createError('HATCHECK_NOT_ALLOWED', 'You are logged in, but you are not allowed to see this page.', 403)
export const VerifyQueryError = createError('HATCHECK_VERIFY_QUERY',
  '/verify takes the parameter user and no other: once, with names separated by commas, each of them percent-encoded.', 400)
