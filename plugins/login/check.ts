import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import type { Authenticate, Authenticated, Check } from '../accounts/authenticator.js'
import { LONGEST_NAME, LONGEST_SENT_NAME } from '../accounts/name.js'
import { standaloneCall } from '../common/calls.js'
import { ConfigError } from '../common/rule.js'
import { entriesOf } from '../session/model/fields.js'
import { kindOf } from '../session/model/json.js'
import { assertCredentials } from './credentials.js'
import { AuthenticateError, WrongCredentialsError } from './errors.js'
import { failureReasonOf } from './failure.js'

/** The option `authenticate`, or hatcheck's own accounts, which also get whether the attempt is familiar. */
type Authenticator = (...args: Parameters<Check>) => ReturnType<Authenticate>

/** A user whose identity is proven. */
export interface Proof {
  user: Authenticated
  /** The name as the client sent it. */
  sentName: string
}

export type PasswordCheck = ReturnType<typeof createPasswordCheck>

/** Makes the functions that check passwords. No other code does so. */
export function createPasswordCheck (fastify: FastifyInstance) {
  const { config, accounts, throttle, audit } = fastify.hatcheck

  const authenticator: Authenticator = config.authenticate ?? (async (name, password, request, isFamiliar) => {
    if (accounts === null) throw new ConfigError('authenticate is required: the session store of the application brings no accounts.')
    return await accounts.authenticate(name, password, { isFamiliar, onSignup: () => throttle.countSignup(request) })
  })

  /** The last success of `request.authenticate` in a request. */
  const passed = new WeakMap<FastifyRequest, Proof>()
  /** How many calls of `request.authenticate` of a request have no answer yet. */
  const undecided = new WeakMap<FastifyRequest, number>()

  /** The longest name that can log in, in characters. That of an application may be an address for mail. */
  const longestName = accounts === null ? LONGEST_SENT_NAME : LONGEST_NAME

  /** Checks a password, behind the throttle. */
  const checkPassword = throttle.throttled(async (...args) => answerOf(await ask(authenticator, args)))

  /** `request.authenticate`: checks a password as `POST /login` does, and writes a failure to the audit log. */
  function authenticate (request: FastifyRequest, sentName: unknown, sentPassword: unknown): Promise<Authenticated | null> {
    // As with the calls of a session, a rejection that nobody awaits does not end the process. The audit log has it.
    const check = standaloneCall(() => authenticateAndNote(request, sentName, sentPassword), () => {})
    // For NotAwaitedError.
    undecided.set(request, (undecided.get(request) ?? 0) + 1)
    const decide = (): void => { undecided.set(request, (undecided.get(request) ?? 1) - 1) }
    check.then(decide, decide)
    return check
  }

  async function authenticateAndNote (request: FastifyRequest, sentName: unknown, sentPassword: unknown): Promise<Authenticated | null> {
    try {
      const { name, password } = assertCredentials(sentName, sentPassword, longestName)
      const user = await checkPassword(name, password, request)
      if (user === null) noteFailure(new WrongCredentialsError(), request, sentName)
      else passed.set(request, { user, sentName: name })
      return user
    } catch (error) {
      noteFailure(error as FastifyError, request, sentName)
      throw error
    }
  }

  /** Writes a failed login to the audit log, except a refusal with an event of its own. */
  function noteFailure (error: FastifyError, request: FastifyRequest, sentName: unknown): void {
    const reason = failureReasonOf(error)
    if (reason !== null) audit('authn_login_fail', request, { user: typeof sentName === 'string' ? sentName : null, reason })
  }

  /** Tells whether {@link authenticate} is still under way in a request. */
  function isUndecided (request: FastifyRequest): boolean {
    return (undecided.get(request) ?? 0) > 0
  }

  /** Returns what {@link authenticate} has proven in a request, if it was about this user; else null. */
  function proofOf (request: FastifyRequest, name: string): Proof | null {
    const proof = passed.get(request)
    return proof?.user.name === name ? proof : null
  }

  return { longestName, checkPassword, authenticate, noteFailure, isUndecided, proofOf }
}

/** Turns whatever an authenticator throws or rejects with into an error. @throws AuthenticateError */
async function ask (authenticator: Authenticator, args: Parameters<Check>): Promise<Authenticated | null | undefined> {
  try {
    return await authenticator(...args)
  } catch (error) {
    if (typeof error === 'object' && error !== null) throw error
    throw new AuthenticateError(`a rejection with ${kindOf(error)}`)
  }
}

/**
 * Checks what an authenticator returned: an application in plain JavaScript may return anything.
 *
 * @throws AuthenticateError, SessionValuesError, SessionKeyError, SessionValueError
 */
function answerOf (answer: Authenticated | null | undefined): Authenticated | null {
  if (answer === null || answer === undefined) return null
  if (typeof answer !== 'object' || typeof answer.name !== 'string') throw new AuthenticateError(kindOf(answer))
  entriesOf(answer.data ?? {})
  return answer
}
