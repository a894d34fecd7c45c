import accepts from 'accepts'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { html } from 'ghtml'
import { layout, type Page } from './layout.js'

declare module 'fastify' {
  interface Hatcheck {
    /** Sends a page, or one that is written already. */
    page (reply: FastifyReply, page: Page | string): FastifyReply
    /** Writes a page. */
    write (page: Page): string
    /** Whether the caller would rather have JSON than a page. */
    prefersJson (request: FastifyRequest): boolean
  }
}

export default fp(async function view (fastify) {
  const { hatcheck } = fastify
  const footer = hatcheck.config.mode === 'demo'
    ? html`<p>Demo mode: signing in with a new name creates the account. It serves this machine only.</p>`
    : ''
  hatcheck.write = (page) => layout(page, footer)
  hatcheck.page = (reply, page) => reply.type('text/html; charset=utf-8').send(typeof page === 'string' ? page : layout(page, footer))
  hatcheck.prefersJson = prefersJson
}, { name: 'view', dependencies: ['config'] })

function prefersJson (request: FastifyRequest): boolean {
  const { accept } = request.headers
  if (accept === undefined || !accept.includes('json')) return false
  return accepts(request.raw).type(['html', 'json']) === 'json'
}
