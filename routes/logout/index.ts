import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { wants } from '../../plugins/common/wants.js'
import { CrossOriginError } from '../../plugins/guards/cross-origin.js'
import { html } from '../../plugins/view/html.js'
import { schemas } from './schemas.js'

export default async function logout (fastify: FastifyInstance): Promise<void> {
  const { config: { base, home, afterLogout }, guards: { isUnasked }, login: { logOut }, view } = fastify.hatcheck

  fastify.get('/logout', { schema: schemas.get, exposeHeadRoute: false }, async (request, reply) => {
    if (isUnasked(request)) return confirm(request, reply)
    return await end(request, reply)
  })

  // A HEAD request must not log out.
  fastify.head('/logout', { schema: schemas.get }, async (request, reply) => confirm(request, reply))

  fastify.post('/logout', { schema: schemas.post }, end)

  async function end (request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    await logOut(request)
    if (wants(request) === 'json') return { user: null }
    view.leaveNotice(request, reply, 'logout')
    return await reply.redirect(afterLogout, 303)
  }

  /** Asks whether to log out: the user may not have asked for it. Nothing changes until the user confirms. */
  function confirm (request: FastifyRequest, reply: FastifyReply): FastifyReply {
    if (wants(request) === 'json') throw new CrossOriginError()
    return view.page(reply, ({ text }) => ({
      title: text('Log out'),
      body: html`<h1>${text('Log out?')}</h1><form method="post" action="${base}/logout"><button>${text('Log out your account here')}</button></form>
<p class="aside"><a href="${home}">${text('Stay logged in')}</a></p>`
    }))
  }
}
