import { createError } from '@fastify/error'

export const NoSuchKeyError = createError('HATCHECK_NO_SUCH_KEY', 'The session has nothing under this key.', 404)
export const IdentityKeyError = createError('HATCHECK_IDENTITY_KEY', 'client_name and authenticatedAt say who is logged in: POST /login and POST /logout change them, and nothing else does.', 403)
