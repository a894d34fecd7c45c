import type { FastifyRequest, Hatcheck } from 'fastify'
import { assertPassword } from '../../plugins/accounts/password.js'
import { createUnauthorized } from '../../plugins/common/unauthorized.js'

export const ReauthenticateError = createUnauthorized('HATCHECK_REAUTHENTICATE',
  'You logged in more than 10 minutes ago. Log in again, or send the password along: POST /sessions with handle or others=1, and password.')
export const ReauthenticationFailedError = createUnauthorized('HATCHECK_WRONG_CREDENTIALS', 'The password is wrong.')

/** So long after a login, whoever has the browser is taken for who has logged in. */
const RECENT_MS = 10 * 60_000

/**
 * Lets through who has logged in a moment ago, and who knows the password: that is a login, under a new session id.
 *
 * @throws ReauthenticateError if the login is older, and there is no password.
 * @throws ReauthenticationFailedError
 * @throws SessionGoneError if the session has ended while the password was checked.
 */
export async function reauthenticate (hatcheck: Hatcheck, request: FastifyRequest, password: string | undefined): Promise<void> {
  const { user, stored } = hatcheck.sessionOf(request)
  if (user === null || stored === null) throw new ReauthenticateError()
  const { record } = stored
  // A login begins the session anew, so its beginning says the same; a handler can write over authenticatedAt.
  const age = hatcheck.config.now() - Math.min(user.authenticatedAt, record.createdAt)
  // A login in the future is one before the clock was set back.
  if (Math.abs(age) <= RECENT_MS) return
  if (password === undefined || password === '') throw new ReauthenticateError()
  assertPassword(password)
  const known = await hatcheck.authenticate(user.name, password, request)
  if (known === null || known.name !== user.name) throw new ReauthenticationFailedError()
  if (!await hatcheck.admitAgain(request, known, { permanent: record.permanent })) throw new ReauthenticationFailedError()
}
