import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import { assertPassword } from '../accounts/password.js'
import type { PasswordCheck } from './check.js'
import { ReauthenticateError, ReauthenticationFailedError } from './errors.js'
import type { LoginCalls } from './log-in.js'

/** Sensitive actions ask for the password again this long after the login. */
const RECENT_MS = 10 * 60_000

/**
 * Makes the check before a sensitive action. It passes after a recent login, or with the right password, which is a login under
 * a new session ID.
 */
export function createReauthentication (
  { hatcheck }: FastifyInstance,
  { checkPassword, noteFailure }: Pick<PasswordCheck, 'checkPassword' | 'noteFailure'>,
  { renewLogin }: Pick<LoginCalls, 'renewLogin'>
) {
  const { config, session, audit } = hatcheck

  /**
   * @throws ReauthenticateError if the login is older and there is no password.
   * @throws ReauthenticationFailedError
   * @throws SessionGoneError if the session has ended while the password was checked.
   */
  return async function reauthenticate (request: FastifyRequest, password: string | undefined): Promise<void> {
    const { user, stored } = session.sessionOf(request)
    if (user === null || stored === null) throw new ReauthenticateError()
    const { record } = stored
    // A login begins the session anew, so its beginning is the time of the login too. A handler can overwrite authenticatedAt.
    const age = config.now() - Math.min(user.authenticatedAt, record.createdAt)
    // A login in the future was before the clock was set back.
    if (Math.abs(age) <= RECENT_MS) return
    if (password === undefined || password === '') throw new ReauthenticateError()
    try {
      await checkAgain(request, user.name, password, record.permanent)
    } catch (error) {
      // Somebody with a stolen session could guess the password here.
      noteFailure(error as FastifyError, request, user.name)
      throw error
    }
    audit('authn_login_success', request, { user: user.name })
  }

  async function checkAgain (request: FastifyRequest, name: string, password: string, permanent: boolean): Promise<void> {
    assertPassword(password)
    const known = await checkPassword(name, password, request)
    if (known === null || known.name !== name) throw new ReauthenticationFailedError()
    if (!await renewLogin(request, known, permanent)) throw new ReauthenticationFailedError()
  }
}
