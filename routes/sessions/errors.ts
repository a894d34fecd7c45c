import { createError } from '@fastify/error'

export const NoSuchSessionError = createError('HATCHECK_NO_SUCH_SESSION', 'You have no session with this handle. It may have ended, or a new login has changed its handle.', 404)
export const WhichSessionError = createError('HATCHECK_WHICH_SESSION', 'Send either handle, the handle of the session to end, or others=1 to end all other sessions.', 400)
