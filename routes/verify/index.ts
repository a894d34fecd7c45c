import type { FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { LONGEST_SENT } from '../../plugins/accounts/name.js'
import { accountKey } from '../../plugins/store/accounts.js'
import { LoginRequiredError } from '../../plugins/login/index.js'
import { quietLevel } from '../../plugins/common/log-level.js'
import { Memo } from '../../plugins/common/memo.js'
import { isByTrustedProxy } from '../../plugins/config/forwarded.js'
import { NotAllowedError } from './errors.js'
import { NOBODY, namesOf } from './names.js'
import { schema } from './schema.js'

/** A proxy has one list, or a few. */
const LISTS = 64

/**
 * Forward auth: a proxy asks here before it passes a request on to an application. 204 is the only answer with which it
 * may; by no method, path or header does a request get around that.
 */
export default async function verify (fastify: FastifyInstance): Promise<void> {
  const { hatcheck } = fastify
  const lists = new Memo<ReadonlySet<string>>(LISTS)
  // Names that an application checks itself may differ in case alone.
  const keyOf = (name: string): string => fastify.accounts === undefined || name.length > LONGEST_SENT ? name : accountKey(name)

  const route = {
    url: '/verify',
    exposeHeadRoute: false,
    // Asked once for every request to the application. A visitor who is not logged in is normal, and a refused user is in the audit log.
    ...quietLevel(fastify.log.level),
    config: { usualRefusals: [401, 403] },
    // Before there is a body: it would be that of the original request, and of any kind.
    onRequest: decide,
    // Never gets here; this would let nobody in.
    handler: hatcheck.handleNotFound
  }
  // Described once, since all methods have the same answers.
  fastify.route({ ...route, method: 'GET', schema })
  fastify.route({ ...route, method: fastify.supportedMethods.filter((method) => method !== 'GET'), schema: { ...schema, hide: true } })

  function decide (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction): void {
    // In refusals as well, so that no proxy is left with what its client has sent under these names.
    reply.headers(NOBODY)
    hatcheck.noteUntrustedProxy(request)
    const error = hatcheck.refusalOf(request)
    if (error !== null) {
      done(error)
      return
    }
    const query = queryOf(request.url)
    const { user } = request
    if (user === null) {
      // A slip in the configuration shows to everybody.
      namesOf(query)
      askToLogIn(request, reply)
    } else if (allowedIn(query)?.has(keyOf(user.name)) === false) {
      hatcheck.audit('authz_fail', request, { user: user.name, reason: 'not_allowed' })
      throw new NotAllowedError()
    } else {
      reply.code(204).headers({
        'cache-control': 'no-store',
        'remote-user': encoded(user.name),
        'remote-session': hatcheck.handleOf(request) ?? ''
      }).send()
    }
  }

  /** Who may pass; null is everybody who is logged in. */
  function allowedIn (query: string): ReadonlySet<string> | null {
    const known = lists.get(query)
    if (known !== undefined) return known
    const names = namesOf(query)
    if (names === null) return null
    const list = new Set(names.map(keyOf))
    lists.set(query, list)
    return list
  }

  /** A 401 is nothing for the audit log: every visit begins with one. */
  function askToLogIn (request: FastifyRequest, reply: FastifyReply): void {
    const destination = hatcheck.config.hasRoute('login') && isByTrustedProxy(request) && isNavigation(request) ? request.headers['x-forwarded-uri'] : undefined
    if (destination === undefined) throw new LoginRequiredError()
    hatcheck.secureHeaders(request, reply)
    // An address with a host in it is none of an application here.
    reply.redirect(hatcheck.loginPathTo(String(destination).startsWith('/') ? decoded(String(destination)) : undefined), 303)
  }

  /** Whether somebody who reads pages is waiting: a script could do nothing with the login page. */
  function isNavigation (request: FastifyRequest): boolean {
    const { accept = '', 'sec-fetch-mode': mode = 'navigate', 'x-requested-with': script, 'x-forwarded-method': method } = request.headers
    return (method === 'GET' || method === 'HEAD') && mode === 'navigate' && script === undefined &&
      accept.includes('text/html') && !hatcheck.prefersJson(request)
  }
}

function queryOf (url: string): string {
  const at = url.indexOf('?')
  return at === -1 ? '' : url.slice(at + 1)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The text of a header that may be UTF-8, whose bytes Node reads as Latin-1. */
function decoded (text: string): string {
  try {
    return utf8.decode(Buffer.from(text, 'latin1'))
  } catch {
    return text
  }
}

/** For a header: percent-encoded where it is not visible ASCII, and the percent sign itself. */
function encoded (name: string): string {
  return name.replace(/[^!-$&-~]+/g, encodeURIComponent)
}
