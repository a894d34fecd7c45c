import { assertRule, shown } from '../common/rule.js'
import type { ExpressSessionStore } from '../store/express-store.js'
import type { MaybePromise } from '../common/maybe-promise.js'
import type { ClearedCookie } from './former-cookies.js'

/** The values of an old session, without its `cookie`. */
export type OldValues = Record<string, any>

/** Describes the sessions of express-session or @fastify/session that hatcheck continues. */
export interface AdoptOptions {
  /** The name of the old cookie: by default `connect.sid` in express-session, `sessionId` in @fastify/session. */
  cookie: string
  /**
   * The secret of the old sessions, or all of its secrets in the same order. It can be undefined, as in an environment; then the
   * start is refused.
   */
  secret: string | Uint8Array | ReadonlyArray<string | Uint8Array> | undefined
  /** The store of the old sessions. hatcheck reads a session from it once, and destroys it there. */
  store: Pick<ExpressSessionStore, 'get' | 'destroy'>
  /**
   * Returns the name of the user who is logged in by these values, as `request.login` would get it, or null. It can return a
   * promise. What it throws is the error of the request, and the old session stays as it is.
   */
  user: (values: OldValues) => MaybePromise<string | null | undefined>
  /**
   * Returns the values to keep.
   *
   * @default all of them
   */
  data?: ((values: OldValues) => MaybePromise<OldValues>) | undefined
  /**
   * The path of the old cookie, by which the browser drops it.
   *
   * @default '/'
   */
  path?: string | undefined
  /**
   * The domain of the old cookie, by which the browser drops it.
   *
   * @default none
   */
  domain?: string | undefined
}

/** One kind of old sessions, checked. */
export interface OldSessionKind extends Pick<AdoptOptions, 'store' | 'user' | 'data'> {
  readonly cookie: ClearedCookie
  readonly secrets: readonly Buffer[]
}

const MEMBERS = ['cookie', 'secret', 'store', 'user', 'data', 'path', 'domain'] satisfies Array<keyof AdoptOptions>

/** Checks the option `adopt`. @throws ConfigError */
export function oldSessionKinds (given: unknown, form: string, cookieName: RegExp): OldSessionKind[] {
  if (given === undefined) return []
  // The error does not show the given value, which may contain a secret.
  assertRule(Array.isArray(given) && given.every((options) => typeof options === 'object' && options !== null), `adopt must be ${form}.`)
  return given.map((options: object, i) => {
    const name = `adopt[${i}]`
    for (const member of Object.keys(options)) assertRule(MEMBERS.includes(member as keyof AdoptOptions), `${name}.${member} is not an option of hatcheck.`)
    const { cookie, secret, store, user, data, path = '/', domain } = options as AdoptOptions
    assertRule(typeof cookie === 'string' && cookieName.test(cookie), `${name}.cookie must be the name of the old cookie; got ${shown(cookie)}.`)
    const secrets: readonly unknown[] = Array.isArray(secret) ? secret : [secret]
    assertRule(secrets.length > 0 && secrets.every(isSecret), `${name}.secret must be the secret of the old sessions, as text or bytes, or the list of its secrets.`)
    for (const method of ['get', 'destroy'] as const) {
      assertRule(typeof store?.[method] === 'function', `${name}.store must be the store of the old sessions; it has no method ${method}.`)
    }
    assertRule(typeof user === 'function', `${name}.user must be a function: (values) => the name of the user, or null; got ${shown(user)}.`)
    assertRule(data === undefined || typeof data === 'function', `${name}.data must be a function: (values) => the values to keep; got ${shown(data)}.`)
    for (const [member, value] of Object.entries({ path, domain })) {
      assertRule(value === undefined || typeof value === 'string', `${name}.${member} must be the ${member} of the old cookie; got ${shown(value)}.`)
    }
    return { cookie: { name: cookie, path, ...domain !== undefined && { domain } }, secrets: secrets.map((one) => Buffer.from(one)), store, user, data }
  })
}

function isSecret (secret: unknown): secret is string | Uint8Array {
  return (typeof secret === 'string' || secret instanceof Uint8Array) && secret.length > 0
}
