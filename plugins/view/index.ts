import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { html } from './html.js'
import { layout, type Page } from './layout.js'
import { createNotices } from './notice.js'

export type View = ReturnType<typeof createView>

export default fp(async function view (fastify) {
  fastify.hatcheck.provide('view', createView(fastify))
}, { name: 'view', dependencies: ['config', 'cookie'] })

function createView ({ hatcheck: { config, cookies } }: FastifyInstance) {
  const footer = config.mode === 'demo'
    ? html`<p>Demo mode: signing in with a new name creates the account. It serves this machine only.</p>`
    : ''

  /** Makes the HTML of a page. */
  function render (page: Page): string {
    return layout(page, footer)
  }

  /** Sends a page, or one that is rendered already. */
  function page (reply: FastifyReply, page: Page | string): FastifyReply {
    return reply.type('text/html; charset=utf-8').send(typeof page === 'string' ? page : render(page))
  }

  return { render, page, ...createNotices(cookies, config.base) }
}
