import accepts from 'accepts'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { IncomingMessage } from 'node:http'
import { html } from './html.js'
import { layout, type Page } from './layout.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Sends a page, or one that is rendered already. */
    page (reply: FastifyReply, page: Page | string): FastifyReply
    /** The HTML of a page. */
    render (page: Page): string
    /** Whether the caller would rather have JSON than a page. */
    prefersJson (request: FastifyRequest): boolean
  }
}

/** In characters; the rest is ignored, since each type costs as much as a small request. Browsers send about 150. */
const LONGEST_ACCEPT = 1_024

export default fp(async function view (fastify) {
  const { hatcheck } = fastify
  const footer = hatcheck.config.mode === 'demo'
    ? html`<p>Demo mode: signing in with a new name creates the account. It serves this machine only.</p>`
    : ''
  hatcheck.render = (page) => layout(page, footer)
  hatcheck.page = (reply, page) => reply.type('text/html; charset=utf-8').send(typeof page === 'string' ? page : hatcheck.render(page))
  hatcheck.prefersJson = prefersJson
}, { name: 'view', dependencies: ['config'] })

function prefersJson (request: FastifyRequest): boolean {
  const accept = request.headers.accept?.slice(0, LONGEST_ACCEPT)
  if (accept === undefined || !accept.includes('json')) return false
  return accepts({ headers: { accept } } as IncomingMessage).type(['html', 'json']) === 'json'
}
