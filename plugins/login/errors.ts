import { createError } from '@fastify/error'
import { createRefusal, createUnauthorized } from '../common/http-errors.js'

/** The route needs a login, and the visitor is not logged in. */
export const LoginRequiredError = createUnauthorized('HATCHECK_LOGIN_REQUIRED', 'You are not logged in.')

/** The form is that of another user, who was logged in with this browser before. */
export const OtherUserError = createRefusal('HATCHECK_OTHER_USER', 'Another user has logged in since this page was loaded. Nothing has been changed.', 409)

/** A field of a form, or an argument of `request.authenticate`, is missing or too long. The text is the rule. */
export const CredentialsError = createRefusal<'HATCHECK_CREDENTIALS', 400, [string]>('HATCHECK_CREDENTIALS', '%s', 400)

/** The same for an unknown name and for a wrong password. */
export const WrongCredentialsError = createUnauthorized('HATCHECK_WRONG_CREDENTIALS', 'The name or the password is wrong.')

/** A handler that forgets to await takes the promise of a check, which is always truthy, for a success. It would log anybody in. */
export const NotAwaitedError = createError('HATCHECK_NOT_AWAITED',
  'request.login must not be called before request.authenticate has answered: write "await request.authenticate(…)".', 500)

export const AuthenticateError = createError<[string]>('HATCHECK_AUTHENTICATE',
  'authenticate must return an object with the name of the user, such as { name: \'anna\' }, or null; got %s.', 500, TypeError)

export const ReauthenticateError = createUnauthorized('HATCHECK_REAUTHENTICATE',
  'You logged in more than 10 minutes ago. Log in again, or send the password too: POST /sessions with password, and with handle or others=1.')

export const ReauthenticationFailedError = createUnauthorized('HATCHECK_WRONG_CREDENTIALS', 'The password is wrong.')
