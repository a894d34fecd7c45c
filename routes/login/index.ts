import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import { wants } from '../../plugins/common/wants.js'
import { BODY_LIMIT } from '../../plugins/http/own-routes.js'
import { credentialsOf } from '../../plugins/login/credentials.js'
import { WrongCredentialsError } from '../../plugins/login/errors.js'
import { fieldOf } from '../../plugins/login/fields.js'
import type { Page } from '../../plugins/view/layout.js'
import { loginPage } from './page.js'
import { schemas } from './schemas.js'

/** The errors that the form shows: every one after which the user can try again, so that the page to return to is not lost. */
const FORM_ERRORS = [
  'HATCHECK_WRONG_CREDENTIALS', 'HATCHECK_CREDENTIALS', 'HATCHECK_NAME', 'HATCHECK_PASSWORD', 'HATCHECK_THROTTLED', 'HATCHECK_BUSY',
  'HATCHECK_STORE_FULL', 'HATCHECK_STORE_UNAVAILABLE', 'HATCHECK_LOGOUT_UNCONFIRMED'
]

export default async function login (fastify: FastifyInstance): Promise<void> {
  const { config: { base }, session, login, view, http } = fastify.hatcheck
  const { nextOf, nextPageOf, longestName } = login
  const errorHandler = http.showInForm({ codes: FORM_ERRORS, page: pageAgain, note: noteFailure })

  fastify.get<{ Querystring: { next?: unknown } }>('/login', { schema: schemas.get }, (request, reply) => {
    const next = nextOf(request.query.next)
    if (session.loggedIn(request) !== null) {
      reply.redirect(next, 303)
      return
    }
    if (wants(request) === 'json') {
      reply.send({ user: null, next })
      return
    }
    // Behind a proxy a logout leads to this page: the start page is the application's.
    const notice = view.takeNotice(request, reply, ['logout'])
    view.page(reply, loginPage({ base, next, notice }))
  })

  fastify.post('/login', { schema: schemas.post, bodyLimit: BODY_LIMIT, errorHandler }, async (request, reply) => {
    // Checked before the password is hashed: without its cookie the login is worthless.
    session.assertDeliverable(request)
    const { name, password, permanent } = credentialsOf(request.body, longestName)
    // So is its session: if the store did not answer, nobody waits for it a second time.
    session.sessionOf(request)
    const user = await login.checkPassword(name, password, request)
    if (user === null) throw new WrongCredentialsError()
    return await login.completeLogin(request, reply, user, { permanent, sentName: name, next: nextPageOf(request) })
  })

  /** Runs for every failed login. */
  function noteFailure (error: FastifyError, request: FastifyRequest): void {
    login.noteFailure(error, request, fieldOf(request.body, 'client_name'))
  }

  /** The form with what was typed, except the password. */
  function pageAgain (error: FastifyError, request: FastifyRequest): Page {
    const name = fieldOf(request.body, 'client_name')
    return loginPage({
      base,
      next: nextPageOf(request),
      name: typeof name === 'string' ? name : '',
      permanent: fieldOf(request.body, 'permanent') === 'on',
      error: error.message
    })
  }
}
