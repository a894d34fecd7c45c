import type { InjectOptions, LightMyRequestResponse, Session as Data } from 'fastify'
import { inspect } from 'node:util'
import type { CookieProfile } from '../session/cookie/cookie-profile.js'
import { CookieDomainError } from '../session/model/errors.js'
import { assertBrowserKeeps, begunSession, storeLogin, type BeginOptions } from '../session/outside/begin.js'
import { profileFor, type Outside } from '../session/outside/outside.js'
import { findIn, readSession, type ReadSession } from '../session/outside/read.js'
import { kOutside } from '../common/registration.js'
import type { Sessions } from '../session/outside/sessions.js'
import type { Stored } from '../session/model/stored.js'
import type { User } from '../session/model/user.js'
import { CookieJar } from './cookie-jar.js'
import { TestingError } from './errors.js'
import { editSession, endSession } from './stored-session.js'

/** The part of an application that a visitor needs. Every Fastify instance has it. `Values` are those of its type provider. */
export interface TestedApp<Values = Data> {
  /** Missing until hatcheck is registered. */
  readonly sessions?: Sessions<Values>
  ready (): PromiseLike<unknown>
  inject (options: InjectOptions): Promise<LightMyRequestResponse>
}

/** The options of {@link visitor}. */
export interface VisitorOptions {
  /**
   * The origin in the address bar of the visitor. With https, each request has `X-Forwarded-Proto: https`, as behind a proxy, so
   * the application must trust it: `Fastify({ trustProxy: true })`.
   * @default 'http://localhost'
   */
  origin?: string | undefined
}

/**
 * Makes a browser for a test: it keeps cookies, and can log in without a password. Hashes no password and sends no request to log
 * in.
 *
 * @param app the Fastify instance that hatcheck is registered in. hatcheck may be registered later, before the first call. With
 *   `sessionSchema`, the instance that has the type provider gives the visitor its types.
 * @throws TestingError if `app` is no Fastify instance, or the origin cannot be one.
 * @example
 * const harry = await visitor(app).login('Harry', { cart: ['apple'] })
 * const { body } = await harry.inject('/checkout')
 */
export function visitor<Values = Data> (app: TestedApp<Values>, { origin = 'http://localhost' }: VisitorOptions = {}): Visitor<Values> {
  return new Visitor(instanceOf(app), originOf(origin))
}

/** A browser for a test. {@link visitor} makes one. */
export class Visitor<Values = Data> {
  readonly #app: TestedApp<Values>
  readonly #origin: URL
  #jar: CookieJar | null = null

  constructor (app: TestedApp<Values>, origin: URL) {
    this.#app = app
    this.#origin = origin
  }

  /**
   * Logs the visitor in, as `request.login(name, { data, permanent })` does: under a new ID. The session keeps its
   * values, unless they are another user's.
   *
   * @param data values to set with the login
   * @returns this visitor
   * @throws UserNameError, SessionKeyError, SessionValueError, SessionSchemaError, SessionTooLargeError, StoreUnavailableError
   * @throws InsecureTransportError, CookieDomainError if the origin cannot have the session cookie.
   * @throws TestingError if hatcheck is not registered.
   */
  async login (name: string, data: Partial<Values> = {}, { permanent }: Pick<BeginOptions, 'permanent'> = {}): Promise<this> {
    const parts = await this.#parts()
    assertBrowserKeeps(parts.profile, this.#isSecure)
    this.#keep(await storeLogin(await this.#find(parts), name, { data, permanent }, 'visitor.login', parts.outside), parts)
    return this
  }

  /** Ends the session, and removes its cookie. */
  async logout (): Promise<void> {
    const parts = await this.#parts()
    const stored = await this.#find(parts)
    if (stored !== null) await endSession(stored, parts.outside)
    parts.jar.remove(parts.profile.name)
  }

  /**
   * Sends a request, as `app.inject` does, with the cookies that a browser would send, and keeps those of the response. A `cookie`
   * header of the request replaces them.
   */
  async inject (request: string | InjectOptions): Promise<LightMyRequestResponse> {
    const { jar } = await this.#parts()
    const options = typeof request === 'string' ? { url: request } : request
    const url = this.#urlOf(options)
    const cookie = jar.headerFor(url)
    const response = await this.#app.inject({
      ...options,
      headers: {
        host: url.host,
        ...url.protocol === 'https:' && { 'x-forwarded-proto': 'https' },
        ...cookie !== '' && { cookie },
        ...options.headers
      }
    })
    for (const line of [response.headers['set-cookie'] ?? []].flat()) jar.take(String(line), url)
    return response
  }

  /** Returns the values of the session as they are stored, without the name of the user and the time of the login. */
  async session (): Promise<Partial<Values>> {
    return (await this.#read())?.data ?? {}
  }

  /**
   * Changes the values of the session in the store. Without a session, it begins an anonymous one.
   *
   * @param change gets the values, and changes the object; it may return a promise
   * @returns this visitor
   * @throws SessionKeyError, SessionValueError, SessionSchemaError, SessionTooLargeError, AnonymousSessionError, StoreUnavailableError
   * @throws InsecureTransportError, CookieDomainError if the origin cannot have the session cookie.
   * @throws SessionGoneError if the session has ended in the meantime.
   */
  async edit (change: (session: Values) => unknown): Promise<this> {
    const parts = await this.#parts()
    assertBrowserKeeps(parts.profile, this.#isSecure)
    const before = await this.#find(parts)
    const stored = await editSession(before, change, parts.outside)
    if (stored === null) parts.jar.remove(parts.profile.name)
    else if (stored.ticket !== before?.ticket) this.#keep(stored, parts)
    return this
  }

  /** Returns the user who is logged in, or null. */
  async user (): Promise<User | null> {
    return (await this.#read())?.user ?? null
  }

  /** Tells whether the visitor is logged in. */
  async isLoggedIn (): Promise<boolean> {
    return await this.user() !== null
  }

  /**
   * Returns the Cookie header that the browser sends, for a client of your own, such as a WebSocket.
   *
   * @param url the path or URL of the request
   * @default url: '/'
   */
  cookieHeader (url = '/'): string {
    return this.#jar?.headerFor(new URL(url, this.#origin)) ?? ''
  }

  async #parts (): Promise<Parts> {
    // Not always: the instance of a scope cannot wait once the application has started.
    if (this.#app.sessions === undefined) await this.#app.ready()
    const outside = outsideOf(this.#app.sessions)
    this.#jar ??= new CookieJar(outside.now)
    return { outside, jar: this.#jar, profile: profileFor(this.#isSecure, outside) }
  }

  get #isSecure (): boolean { return this.#origin.protocol === 'https:' }

  /** The origin with the path of the session cookie. */
  #homeOf ({ attributes }: CookieProfile): URL {
    return new URL(attributes.path ?? '/', this.#origin)
  }

  async #find ({ outside, jar, profile }: Parts): Promise<Stored | null> {
    return await findIn(jar.headerFor(this.#homeOf(profile)), profile, outside)
  }

  async #read (): Promise<ReadSession<Values> | null> {
    const { outside, jar, profile } = await this.#parts()
    return await readSession(jar.headerFor(this.#homeOf(profile)), { secure: this.#isSecure }, outside)
  }

  /** Puts the cookie of a session in the place of the one before. */
  #keep (stored: Stored, { outside, jar, profile }: Parts): void {
    const home = this.#homeOf(profile)
    jar.remove(profile.name)
    if (!jar.take(begunSession(stored, profile, outside).setCookieHeader, home)) throw new CookieDomainError(home.host, String(profile.attributes.domain))
  }

  #urlOf ({ url = '/', path = url, authority, headers }: InjectOptions): URL {
    const { pathname, protocol = this.#origin.protocol, hostname = this.#origin.hostname, port = this.#origin.port } = partsOf(path, this.#origin)
    const host = lowerCased(headers)['host'] ?? authority
    const { origin } = new URL(`${protocol.replace(/:$/, '')}://${host === undefined ? `${hostname}:${port}` : String(host)}`)
    // A path may begin with two slashes.
    return new URL(origin + pathname)
  }
}

interface Parts {
  readonly outside: Outside
  readonly jar: CookieJar
  readonly profile: CookieProfile
}

type Address = Extract<InjectOptions['url'], object>

function partsOf (url: string | Address, origin: URL): Address {
  if (typeof url !== 'string') return url
  return url.startsWith('/') ? { pathname: url } : new URL(url, origin)
}

function lowerCased (headers: InjectOptions['headers'] = {}): NonNullable<InjectOptions['headers']> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

/** @throws TestingError */
function outsideOf (sessions: object | undefined): Outside {
  if (sessions === undefined || !isWithOutside(sessions)) throw new TestingError('A visitor needs hatcheck: register it in the application that is given to visitor(app), in this scope or in one around it.')
  return sessions[kOutside]
}

function isWithOutside (sessions: object): sessions is { readonly [kOutside]: Outside } {
  return kOutside in sessions
}

/** @throws TestingError */
function instanceOf<Values> (app: TestedApp<Values>): TestedApp<Values> {
  if (typeof (app as Partial<TestedApp> | null | undefined)?.ready === 'function') return app
  throw new TestingError('visitor(app) needs a Fastify instance: await the function that makes it; in NestJS, pass app.getHttpAdapter().getInstance().')
}

/** @throws TestingError */
function originOf (text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new TestingError(`origin must be an origin with http or https, such as "https://shop.example"; got ${inspect(text)}.`)
  return new URL('/', text)
}
