import type { FastifyInstance, FastifySchema } from 'fastify'
import { wants } from '../plugins/common/wants.js'
import { PAGE_ERRORS, USER_OR_NULL, exactly, pageOrJson, problems } from '../plugins/openapi/answers.js'
import { userJson } from '../plugins/session/model/user.js'
import { StoreUnavailableError } from '../plugins/store/errors.js'
import { html } from '../plugins/view/html.js'
import { perLanguage, type Language } from '../plugins/view/language.js'
import type { PageParts } from '../plugins/view/layout.js'

const schema = {
  operationId: 'getHome',
  tags: ['Login'],
  summary: 'Get the start page',
  response: { 200: pageOrJson('The start page, or the user as JSON.', exactly({ user: USER_OR_NULL })), ...problems(...PAGE_ERRORS, StoreUnavailableError) }
} satisfies FastifySchema

export default async function home (fastify: FastifyInstance): Promise<void> {
  const { accounts, session: { loggedIn }, config: { base, loginPage, hasRoute }, view: { page, prepare, prepareAround, takeNotice } } = fastify.hatcheck

  const loginLink = perLanguage(({ text }) => loginPage !== null ? html`<p><a class="button" href="${loginPage}">${text('Log in your account here')}</a></p>` : '')
  const anonymousParts = (language: Language): PageParts => {
    const { text } = language
    return { title: text('Not logged in'), body: html`<h1>${text('You are not logged in')}</h1>${loginLink(language)}` }
  }
  // Most visitors get this one, so it is rendered once.
  const anonymousPage = prepare(anonymousParts)

  const links = perLanguage(({ text }) => {
    const logout = hasRoute('logout')
      ? html`
<form method="post" action="${base}/logout"><button class="quiet">${text('Log out your account here')}</button></form>`
      : ''
    const sessions = hasRoute('sessions')
      ? html`
<p class="aside"><a href="${base}/sessions">${text('My sessions')}</a></p>`
      : ''
    const password = hasRoute('password') && accounts !== null
      ? html`
<p class="aside"><a href="${base}/password">${text('Change your password')}</a></p>`
      : ''
    return html`${logout}${sessions}${password}`
  })

  const userParts = (language: Language, name: string): PageParts =>
    ({ title: name, body: html`<h1>${language.phrase('{name} Your account is logged in.', { name })}</h1>${links(language)}` })
  const userPage = prepareAround(userParts)

  // Fastify would serve it at // as well.
  const prefixTrailingSlash = fastify.prefix === '' || fastify.prefix.endsWith('/') ? 'no-slash' : 'both'

  fastify.get('/', { schema, prefixTrailingSlash }, (request, reply) => {
    const user = loggedIn(request)
    if (wants(request) === 'json') {
      reply.send({ user: user === null ? null : userJson(user) })
      return
    }
    const notice = takeNotice(request, reply)
    if (notice !== undefined) page(reply, (language) => ({ ...user === null ? anonymousParts(language) : userParts(language, user.name), notice }))
    else page(reply, user === null ? anonymousPage : (language) => userPage(language, user.name))
  })
}
