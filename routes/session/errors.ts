import { createError } from '@fastify/error'

export const NoSuchKeyError = createError('HATCHECK_NO_SUCH_KEY', 'The session has no value under this key.', 404)
export const IdentityKeyError = createError('HATCHECK_IDENTITY_KEY', 'client_name and authenticatedAt are read-only: only POST /login and POST /logout change them.', 403)
