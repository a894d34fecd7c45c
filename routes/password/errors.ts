import { createError } from '@fastify/error'
import { createUnavailable } from '../../plugins/common/http-errors.js'

/** Not a 401, which a program takes for the end of its session: the user is logged in, but may not do this. */
export const WrongPasswordError = createError('HATCHECK_WRONG_PASSWORD', 'The current password is wrong.', 403)

/** The password has been changed, but the store did not confirm that the other sessions ended. */
export const PasswordChangeUnfinishedError = createUnavailable('HATCHECK_PASSWORD_CHANGE_UNFINISHED',
  'The password has been changed, but the end of the other sessions is not confirmed: the session store cannot answer right now. Change it once more to end them.')

/** The session ended while the current password was checked. */
export const PasswordNotChangedError = createError('HATCHECK_SESSION_GONE',
  'The session ended while this request was under way. The password has not been changed. Log in again to change it.', 409)

/** The session ended just as the password was changed. The user is not logged in. */
export const PasswordChangedError = createError('HATCHECK_SESSION_GONE',
  'The session ended while this request was under way. The password has been changed, and every session of the user has ended. Log in with the new password.', 409)

/** The account was disabled, or got another password, just after the password was changed. The user is not logged in. */
export const PasswordOvertakenError = createError('HATCHECK_SESSION_GONE',
  'The session ended while this request was under way. The password has been changed, but immediately afterwards the account was disabled or its password was changed again, and every session of the user has ended.', 409)
