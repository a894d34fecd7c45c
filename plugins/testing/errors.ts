import { createError } from '@fastify/error'

/** A test uses `hatcheck/testing` in a way that cannot work. The text says what it must do. */
export const TestingError = createError<[string]>('HATCHECK_TESTING', '%s', 500)
