import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import type { Flash } from './session/fields.js'

export const FlashError = createError('HATCHECK_FLASH', 'A flash message needs a kind and a text, both strings, and the kind not empty.', 500, TypeError)

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Leaves a message for the next page that asks for it. It is part of the session: it goes along with a login, and ends
     * with a logout.
     *
     * @throws FlashError
     */
    flash (kind: string, text: string): void
    /**
     * Takes the messages that were left, oldest first: of several requests at once, each message goes to one. Those that
     * this request has left are among them. Asked again, the request gets the same messages.
     *
     * @param kinds the kinds to return; the others are taken as well.
     * @default every kind
     */
    flashes (...kinds: string[]): Promise<Flash[]>
  }
}

export default fp(async function flash (fastify) {
  const { sessionFor, sessionOf } = fastify.hatcheck.session

  fastify.decorateRequest('flash', function flash (this: FastifyRequest, kind: string, text: string) {
    if (typeof kind !== 'string' || kind === '' || typeof text !== 'string') throw new FlashError()
    sessionOf(this).flash({ kind, text })
  })

  fastify.decorateRequest('flashes', function flashes (this: FastifyRequest, ...kinds: string[]) {
    return sessionFor(this).takeFlashes(kinds)
  })
}, { name: 'flash', dependencies: ['session'] })
