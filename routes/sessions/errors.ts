import { createError } from '@fastify/error'

export const NoSuchSessionError = createError('HATCHECK_NO_SUCH_SESSION', 'None of your sessions has this handle. It may have ended, or gone on under another one.', 404)
export const WhichSessionError = createError('HATCHECK_WHICH_SESSION', 'Say what is to end: handle, the handle of a session, or others=1, all other sessions.', 400)
