import type { FastifyRequest } from 'fastify'
import { createError } from '@fastify/error'
import fp from 'fastify-plugin'
import type { Decorated } from './common/decorators.js'
import { reject } from './session/request/calls.js'
import { addFlash, takeFlashes, type Flash } from './session/request/flash-messages.js'

/** `request.flash` got something other than a kind and a text, or `request.flashes` something other than kinds. */
export const FlashError = createError<[rule: string]>('HATCHECK_FLASH', '%s', 500, TypeError)

interface RequestMembers {
  /**
   * Leaves a message for the next page that asks for it. It is part of the session: it survives a login, and ends with a
   * logout.
   *
   * @throws FlashError (500)
   * @throws SessionCommittedError (500) once the response has left.
   * @throws SessionNotReadError (500) in a hook that runs before those of hatcheck, if the store answers with promises.
   * @throws SessionOffError (500) if the route has `session: false`.
   * @throws StoreUnavailableError (503) if the store cannot answer.
   */
  flash (kind: string, text: string): void
  /**
   * Takes every message, oldest first, including those of this request. Of several parallel requests, only one gets a
   * message. Asked again, the request gets the same messages.
   *
   * @param kinds the kinds to return; messages of other kinds are taken as well.
   * @default every kind
   * @throws FlashError (500) if a kind is not a string; no message is taken.
   * @throws SessionCommittedError (500) once the response has left.
   * @throws SessionOffError (500) if the route has `session: false`.
   * @throws StoreMethodMissingError (501) if a message is stored and the session store has no `take`.
   * @throws StoreUnavailableError (503)
   */
  flashes (...kinds: string[]): Promise<Flash[]>
}

declare module 'fastify' {
  interface FastifyRequest extends Decorated<RequestMembers> {}
}

export default fp(async function flash (fastify) {
  const { session: { sessionFor, sessionOf }, decorations: { decorate } } = fastify.hatcheck

  decorate('flash', function flash (this: FastifyRequest, kind: string, text: string) {
    if (typeof kind !== 'string' || kind === '' || typeof text !== 'string') {
      throw new FlashError('A flash message needs a kind and a text, both strings; the kind must not be empty.')
    }
    addFlash(sessionOf(this), { kind, text })
  })

  decorate('flashes', function flashes (this: FastifyRequest, ...kinds: string[]) {
    const session = sessionFor(this)
    // Flask takes a list. Here it would match no message: all of them would be taken, and none returned.
    if (kinds.some((kind) => typeof kind !== 'string')) {
      return reject(session, new FlashError('The kinds of flash messages must be strings, as in request.flashes("info", "error").'))
    }
    return takeFlashes(session, kinds)
  })
}, { name: 'flash', dependencies: ['session', 'decorations'] })
