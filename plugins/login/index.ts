import type { FastifyInstance, FastifyRequest, RawServerBase } from 'fastify'
import fp from 'fastify-plugin'
import type { Authenticated } from '../accounts/authenticator.js'
import { LONGEST_SENT_NAME } from '../accounts/name.js'
import { ConfigError } from '../common/rule.js'
import type { Decorated } from '../common/decorators.js'
import { accessors } from '../session/request/accessors.js'
import type { ValuesOf } from '../session/request/schema-types.js'
import type { User } from '../session/model/user.js'
import { accountKey } from '../store/accounts.js'
import { createPasswordCheck } from './check.js'
import { OtherUserError } from './errors.js'
import { fieldOf } from './fields.js'
import { createGuard, requireLogin } from './guard.js'
import { createLoginCalls, type LoginOptions } from './log-in.js'
import { createNext } from './next.js'
import { createReauthentication } from './reauthenticate.js'

export type { LoginOptions } from './log-in.js'

interface RequestMembers<Values> {
  /**
   * The user who is logged in, or null. Costs less than the session.
   *
   * @throws SessionNotReadError (500) in a hook that runs before those of hatcheck, if the store answers with promises.
   * @throws StoreUnavailableError (503) if the store cannot answer.
   * @throws SessionCommittedError (500) if the response has begun, and nothing has read the session before.
   * @throws SessionOffError (500) if the route has `session: false`.
   */
  readonly user: User | null
  /**
   * Returns the user who is logged in. Without one it throws, and a browser is redirected to the login page as by
   * `requireLogin`.
   *
   * @throws LoginRequiredError (401)
   * @throws SessionNotReadError (500) in a hook that runs before those of hatcheck, if the store answers with promises.
   * @throws StoreUnavailableError (503) if the store cannot answer.
   * @throws SessionCommittedError (500) if the response has begun, and nothing has read the session before.
   * @throws SessionOffError (500) if the route has `session: false`.
   */
  requireUser (): User
  /**
   * Checks a password as `POST /login` does: behind the rate limit, with a line in the audit log for a failure. Begins no
   * session. Resolves to null for an unknown name, a wrong password and a disabled account. Call `request.login` with the name
   * of the answer in the same request: it then makes the browser a known device, and refuses an account that was disabled, or
   * got another password, in the meantime.
   *
   * @throws CredentialsError, NameError, PasswordError (400) if the name or the password breaks a rule.
   * @throws AuthenticateError, SessionKeyError, SessionValueError (500) if the option `authenticate` answered with something other
   *   than a user, or with `data` that a session cannot hold. What it throws itself stays as it is.
   * @throws ConfigError (500) if there are neither accounts nor the option `authenticate`.
   * @throws ThrottledError (429) if too many logins have failed.
   * @throws BusyError (503) if too many logins are under way.
   * @throws StoreUnavailableError (503)
   */
  authenticate (name: string, password: string): Promise<Authenticated | null>
  /**
   * Logs `name` in, under a new session ID. When it resolves, the session is stored and the old ID is dead. The session
   * keeps its values, unless they are another user's. Checks no password: call `request.authenticate` first, or verify the user in another way.
   *
   * @throws WrongCredentialsError (401) after `request.authenticate`, if the account was disabled or got another password in the
   *   meantime. Nobody is logged in then.
   * @throws LogoutUnconfirmedError (503) if the session of such a login could not be ended; its ticket is refused until it is.
   * @throws InsecureTransportError, CookieDomainError (400) if the connection cannot carry the session cookie.
   * @throws SessionTooLargeError (413)
   * @throws NotAwaitedError (500) while `request.authenticate` is still checking a password.
   * @throws UserNameError (500) if `name` is not a non-empty, well-formed string.
   * @throws SessionKeyError, SessionValueError, SessionSchemaError (500) if `data`, or a value set before, cannot be stored.
   * @throws FlaskDepthError (500) with the store `flask:`.
   * @throws NoCookieError (500) if the headers of the response have left.
   * @throws SessionOffError (500) if the route has `session: false`.
   * @throws StoreUnavailableError (503)
   */
  login (name: string, options?: LoginOptions<Values>): Promise<void>
  /**
   * Ends every session that the request presents a ticket of, for good, and clears the cookie.
   *
   * @throws LogoutUnconfirmedError (503) if the end cannot be stored; the tickets are refused until it is.
   * @throws NoCookieError (500) with `sessionRevocation: 'none'`, if the headers of the response have left: the cookie cannot be removed then.
   * @throws SessionOffError (500) if the route has `session: false`.
   */
  logout (): Promise<void>
}

interface InstanceMembers {
  /**
   * Does the same as the exported `requireLogin`. Prefer the export: this one is undefined until the registration of hatcheck is
   * done, and Fastify takes undefined for "no hook".
   */
  requireLogin: typeof requireLogin
}

declare module 'fastify' {
  /* eslint-disable @typescript-eslint/no-unused-vars -- the parameters of an interface are the same in each part of it */
  interface FastifyRequest<RouteGeneric, RawServer extends RawServerBase, RawRequest, SchemaCompiler, TypeProvider, ContextConfig, Logger, RequestType>
    extends Decorated<RequestMembers<ValuesOf<TypeProvider>>> {}
  /* eslint-enable */
  interface FastifyInstance extends Decorated<InstanceMembers> {}
}

export type Login = ReturnType<typeof createLogin>

export default fp(async function login (fastify) {
  const { config, accounts, session: { loggedIn }, decorations: { decorate } } = fastify.hatcheck
  if ((config.hasRoute('login') || config.hasRoute('sessions')) && config.authenticate === undefined && accounts === null) {
    throw new ConfigError('authenticate is required beside routes: the session store of the application brings no accounts.')
  }
  const group = createLogin(fastify)
  fastify.hatcheck.provide('login', group)

  const { user, login: loginName, logout: logoutName } = config.decorators
  const calls = [loginName, logoutName].flatMap((name) => name === false ? [] : [`request.${name}()`])
  decorate('user', accessors(`request.${user}`, loggedIn, calls.length === 0 ? 'only a login or a logout changes it' : `use ${calls.join(' and ')}`))

  // No async functions: the promise of a call knows whether somebody awaits it.
  decorate('login', function (this: FastifyRequest, name: string, options?: LoginOptions) {
    return group.logIn(this, name, options)
  })

  decorate('requireUser', function requireUser (this: FastifyRequest) {
    return group.requireUser(this)
  })

  decorate('authenticate', function authenticate (this: FastifyRequest, name: string, password: string) {
    return group.authenticate(this, name, password)
  })

  decorate('logout', function logout (this: FastifyRequest) {
    return group.logOut(this)
  })

  decorate('requireLogin', requireLogin)
}, { name: 'login', dependencies: ['config', 'decorations', 'storage', 'session', 'accounts', 'audit', 'throttle', 'view'] })

function createLogin (fastify: FastifyInstance) {
  const { config, accounts } = fastify.hatcheck
  const next = createNext(config)
  const { isUndecided, proofOf, ...check } = createPasswordCheck(fastify)
  const calls = createLoginCalls(fastify, { isUndecided, proofOf }, next.nextOf)
  const guard = createGuard(fastify, next.loginPathTo)

  /**
   * Returns the same text for every spelling of a name of hatcheck's own accounts. Names that an application checks itself may
   * differ in case only.
   */
  function keyOf (name: string): string {
    return accounts === null || name.length > LONGEST_SENT_NAME ? name : accountKey(name)
  }

  /**
   * Refuses a form that names another user than the one logged in: it was loaded before that login, and its user would change what
   * is another's.
   *
   * @throws OtherUserError (409)
   */
  function assertSameUser (request: FastifyRequest): void {
    const sent = fieldOf(request.body, 'user')
    if (sent === undefined || (typeof sent === 'string' && keyOf(sent) === keyOf(guard.requireUser(request).name))) return
    throw new OtherUserError()
  }

  // One object, so that a replaced `isStillValid`, for example in a test, takes effect everywhere.
  return Object.assign(calls, check, {
    ...guard,
    ...next,
    assertSameUser,
    reauthenticate: createReauthentication(fastify, check, calls),
    keyOf
  })
}
